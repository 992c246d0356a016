"""psycopg 3: prepares with names of its own as soon as it is told to, and has a pipeline mode."""

import datetime
import decimal
import threading

import psycopg
from psycopg import sql

import check

check.client("psycopg", f"{psycopg.__version__} (libpq {psycopg.pq.version()}, {psycopg.pq.__impl__})")


def connect(dsn, **kw):
    return psycopg.connect(dsn, **kw)


# Several connections share two server connections; each prepares under the same names.
conns = [connect(check.RO, autocommit=True, prepare_threshold=0) for _ in range(4)]
for round in range(3):
    for i, conn in enumerate(conns):
        for n in range(5):
            got = conn.execute(f"SELECT %s::int + {n} * 10 + {i} * 1000", (round,)).fetchone()
            assert got == (round + n * 10 + i * 1000,), got
check.equal("prepared statements of four clients on two servers", True, True)

conn = conns[0]
conn.prepared_max = 2
for round in range(2):
    for n in range(6):
        assert conn.execute(f"SELECT {n} + %s::int", (1,)).fetchone() == (n + 1,)
check.equal("more statements than prepared_max (DEALLOCATE)", conn.execute("SELECT 'still ' || %s", ("here",)).fetchone()[0], "still here")

values = (
    42, "naïve ♞ 'quotes' \\", decimal.Decimal("3.14"), datetime.datetime(2024, 6, 15, 8, 0, tzinfo=datetime.timezone.utc),
    b"\x00\xff\\'", [1, 2, 3], None, True, 2.5,
)
casts = "int text numeric timestamptz bytea int[] text bool float8".split()
columns = ", ".join(f"%s::{c}" for c in casts)
for binary in (False, True):
    got = conns[1].cursor(binary=binary).execute(f"SELECT {columns}", values).fetchone()
    got = tuple(v.astimezone(datetime.timezone.utc) if isinstance(v, datetime.datetime) else v for v in got)
    check.equal(f"types, binary={binary}", got, values)

check.fails("permission denied", "42501", lambda: conns[1].execute("DELETE FROM jobs"))
check.fails("syntax error", "42601", lambda: conns[1].execute("SELEC"))
check.equal("alive after errors", conns[1].execute("SELECT current_user").fetchone()[0], "epmt-ro")
for c in conns:
    c.close()

with connect(check.ADMIN) as admin:
    admin.execute("DROP TABLE IF EXISTS psycopg3")
    admin.execute("CREATE TABLE psycopg3 (n int PRIMARY KEY, t text)")
check.equal("DDL in a transaction as admin", True, True)

with connect(check.RW, prepare_threshold=0) as rw:
    with rw.transaction():
        rw.cursor().executemany("INSERT INTO psycopg3 VALUES (%s, %s)", [(i, f"row {i}") for i in range(100)])
    try:
        with rw.transaction():
            rw.execute("INSERT INTO psycopg3 VALUES (1000, 'outer')")
            try:
                with rw.transaction():  # a savepoint
                    rw.execute("INSERT INTO psycopg3 VALUES (1, 'again')")
            except psycopg.errors.UniqueViolation:
                pass
            assert rw.execute("SELECT count(*) FROM psycopg3").fetchone() == (101,)
            raise psycopg.Rollback()
    except psycopg.Rollback:
        pass
    check.equal("transactions and savepoints", rw.execute("SELECT count(*) FROM psycopg3").fetchone(), (100,))

    with rw.cursor().copy("COPY psycopg3 FROM STDIN") as copy:
        for i in range(200, 1200):
            copy.write_row((i, "x" * (i % 50)))
    with rw.cursor().copy("COPY (SELECT n FROM psycopg3 WHERE n >= 200 ORDER BY n) TO STDOUT") as copy:
        rows = [int(r[0]) for r in copy.rows()]
    check.equal("COPY in and out", rows, list(range(200, 1200)))

    def bad_copy():
        with rw.cursor().copy("COPY psycopg3 FROM STDIN") as copy:
            copy.write_row((5000, "fine"))
            raise KeyError("the program fails in the copy")

    try:
        bad_copy()
    except (KeyError, psycopg.errors.QueryCanceled):
        pass
    rw.rollback()
    check.equal("a copy that the program gives up", rw.execute("SELECT count(*) FROM psycopg3 WHERE n = 5000").fetchone(), (0,))

with connect(check.RW, autocommit=True) as rw:
    with rw.pipeline() as pipeline:
        cursors = [rw.execute("SELECT %s::int", (i,)) for i in range(50)]
        pipeline.sync()
        check.equal("pipeline", [c.fetchone()[0] for c in cursors], list(range(50)))
    with rw.pipeline(), rw.transaction():
        rw.execute("INSERT INTO psycopg3 VALUES (9000, 'in a pipeline')")
        seen = rw.execute("SELECT t FROM psycopg3 WHERE n = 9000")
    check.equal("transaction in a pipeline", seen.fetchone()[0], "in a pipeline")

    def broken_pipeline():
        with rw.pipeline():
            rw.execute("SELECT 1 / %s::int", (0,))
            rw.execute("SELECT 1")

    check.fails("error in a pipeline", "22012", broken_pipeline)
    check.equal("alive after the pipeline", rw.execute("SELECT 'yes'").fetchone()[0], "yes")

    with rw.transaction():
        with rw.cursor(name="named") as cursor:  # a server-side cursor
            cursor.itersize = 100
            count = sum(1 for _ in cursor.execute("SELECT generate_series(1, 1000)"))
    check.equal("server-side cursor", count, 1000)

    timer = threading.Timer(0.3, rw.cancel)
    timer.start()
    check.fails("cancel", "57014", lambda: rw.execute("SELECT pg_sleep(60)"))
    timer.join()
    check.equal("alive after cancel", rw.execute("SELECT 'yes'").fetchone()[0], "yes")
    large = b"0123456789abcdef" * (8 << 16)  # 8 MiB
    check.equal("8 MiB there and back", rw.execute("SELECT %b::bytea", (large,)).fetchone()[0] == large, True)
    check.equal("SQL composed by the driver", rw.execute(sql.SQL("SELECT {} FROM {} WHERE n = {}").format(
        sql.Identifier("t"), sql.Identifier("psycopg3"), sql.Literal(3))).fetchone()[0], "row 3")

with connect(check.ADMIN) as admin:
    admin.execute("DROP TABLE psycopg3")
