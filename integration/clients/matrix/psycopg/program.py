"""psycopg 3: statements prepared at once, pipelines, server-side cursors, COPY, notifications, cancel."""

import os
import sys
import threading

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from check import DSN, ROUNDS, WORKERS, check, finish, saw, version, workers  # noqa: E402

version(psycopg.__version__)


def connect(**kw):
    conn = psycopg.connect(DSN, **kw)
    conn.prepare_threshold = 0
    return conn


def worker(i):
    with connect(autocommit=True) as conn:
        for n in range(ROUNDS):
            row = conn.execute("SELECT %s::int4 * 1000 + %s::int4, current_setting('application_name')", (i, n)).fetchone()
            assert row[0] == i * 1000 + n, row
            with conn.transaction():
                conn.execute("INSERT INTO m_psycopg (worker, n, doc) VALUES (%s, %s, %s)", (i, n, Jsonb({"w": i})))
                got = conn.execute("SELECT count(*), max(n) FROM m_psycopg WHERE worker = %s", (i,)).fetchone()
                assert got == (n + 1, n), got
            try:
                conn.execute("SELECT 1 / %s::int4", (0,))
                raise AssertionError("no error")
            except psycopg.errors.DivisionByZero:
                pass


everybody = threading.Barrier(WORKERS)


def visitor(i):
    """Uses what ties a session to its server, gives it back, and stays connected until everybody has done so."""
    with connect(autocommit=True) as conn:
        with conn.cursor("holder", withhold=True) as cur:
            cur.execute("SELECT g FROM generate_series(1, 20) g")
            assert len(cur.fetchmany(5)) == 5
        conn.execute("CREATE TEMP TABLE mine (n int)")
        conn.execute("INSERT INTO mine VALUES (%s)", (i,))
        assert conn.execute("SELECT n FROM mine").fetchone() == (i,)
        conn.execute("DROP TABLE mine")
        for _ in range(2):
            conn.execute("SELECT pg_advisory_lock(%s)", (i,))
        for _ in range(2):
            assert conn.execute("SELECT pg_advisory_unlock(%s)", (i,)).fetchone() == (True,)
        conn.execute("LISTEN news")
        conn.execute("UNLISTEN news")
        conn.execute("PREPARE mine AS SELECT 1")
        conn.execute("DEALLOCATE mine")
        with conn.transaction(force_rollback=True):
            conn.execute("CREATE TEMP TABLE mine (n int)")
        everybody.wait(100)


def pipeline(conn):
    with conn.pipeline() as p:
        cursors = [conn.execute("SELECT %s::int4 + 1", (n,)) for n in range(50)]
        p.sync()
        check("pipeline: 50 answers in order", [c.fetchone()[0] for c in cursors], list(range(1, 51)))
    seen = []  # the error may surface at any of the statements behind it: answers are read as they arrive
    try:
        with conn.pipeline() as p:
            conn.execute("INSERT INTO m_psycopg (worker, n) VALUES (%s, %s)", (95, 1))
            conn.execute("SELECT 1 / %s::int4", (0,))
            conn.execute("INSERT INTO m_psycopg (worker, n) VALUES (%s, %s)", (95, 2))
            p.sync()
    except psycopg.errors.DivisionByZero:
        seen.append("division by zero")
    seen.append(conn.execute("SELECT count(*) FROM m_psycopg WHERE worker = 95").fetchone()[0])
    check("pipeline: an error undoes it up to the sync", seen, ["division by zero", 0])
    check("pipeline: the connection goes on", conn.execute("SELECT %s::int4", (3,)).fetchone(), (3,))
    with conn.pipeline(), conn.transaction():
        conn.execute("UPDATE m_psycopg SET n = n + %s WHERE worker = 0", (100,))
        conn.execute("UPDATE m_psycopg SET n = n - %s WHERE worker = 0", (100,))
    check("pipeline: a transaction in it", conn.execute("SELECT max(n) FROM m_psycopg WHERE worker = 0").fetchone(), (ROUNDS - 1,))
    conn.execute("SET application_name = 'before the pipeline'")
    with conn.pipeline():
        conn.execute("SET application_name = 'in the pipeline'")
        seen = conn.execute("SHOW application_name")
    check("pipeline: SET in it", (seen.fetchone()[0], conn.execute("SHOW application_name").fetchone()[0]), ("in the pipeline",) * 2)


def cursors(conn):
    with conn.transaction():
        with conn.cursor("walker") as cur:
            cur.itersize = 7
            cur.execute("SELECT g FROM generate_series(1, %s) g", (100,))
            check("server-side cursor in a transaction", sum(r[0] for r in cur), 5050)
        with conn.cursor("scroller", scrollable=True) as cur:
            cur.execute("SELECT g FROM generate_series(1, 10) g")
            cur.scroll(5)
            check("scrollable cursor", (cur.fetchone()[0], cur.scroll(-3) or cur.fetchone()[0]), (6, 4))
    with conn.cursor("holder", withhold=True) as cur:
        cur.execute("SELECT g FROM generate_series(1, 20) g")
        check("cursor WITH HOLD across transactions", (cur.fetchmany(2), conn.execute("SELECT 1").fetchone(), cur.fetchmany(1)),
              ([(1,), (2,)], (1,), [(3,)]))
    rows = list(conn.cursor().stream("SELECT g FROM generate_series(1, %s) g", (5,)))
    check("stream: rows one at a time", rows, [(n,) for n in range(1, 6)])


def copying(conn):
    with conn.cursor() as cur:
        with cur.copy("COPY m_psycopg (worker, n) FROM STDIN") as copy:
            for n in range(1000):
                copy.write_row((99, n))
        check("COPY FROM by rows", cur.rowcount, 1000)
        with cur.copy("COPY (SELECT worker, n FROM m_psycopg WHERE worker = 99 ORDER BY n) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "int4"])
            check("COPY TO binary", sum(r[1] for r in copy.rows()), 499500)
        try:
            with cur.copy("COPY m_psycopg (worker, n) FROM STDIN") as copy:
                copy.write_row((98, 1))
                raise KeyError("client changes its mind")
        except KeyError:
            pass
        check("COPY given up by the client", conn.execute("SELECT count(*) FROM m_psycopg WHERE worker = 98").fetchone(), (0,))
        try:
            with cur.copy("COPY m_psycopg (worker, n) FROM STDIN") as copy:
                copy.write("not\ta number\n")
        except psycopg.errors.InvalidTextRepresentation as e:
            saw("COPY refused by the server", e.diag.message_primary)


def session(conn):
    conn.execute("LISTEN news")
    conn.execute("SELECT pg_notify('news', %s)", ("hello",))
    got = next(conn.notifies(timeout=10, stop_after=1))
    check("LISTEN and NOTIFY", (got.channel, got.payload), ("news", "hello"))
    conn.execute("UNLISTEN *")
    conn.execute("SET search_path = pg_catalog")
    conn.execute("SET statement_timeout = '4321ms'")
    check("SET outlives the transaction", conn.execute("SELECT current_setting('search_path'), current_setting('statement_timeout')").fetchone(),
          ("pg_catalog", "4321ms"))
    conn.execute("RESET ALL")
    check("RESET ALL", conn.execute("SHOW statement_timeout").fetchone(), ("0",))
    conn.execute("CREATE TEMP TABLE mine (n int)")
    conn.execute("INSERT INTO mine VALUES (%s)", (7,))
    check("temporary table", conn.execute("SELECT n FROM mine").fetchone(), (7,))
    conn.execute("DROP TABLE mine")
    conn.execute("SELECT pg_advisory_lock(%s)", (77,))
    check("session advisory lock", conn.execute("SELECT pg_advisory_unlock(%s)", (77,)).fetchone(), (True,))


def errors_and_states(conn):
    conn.execute("SELECT %s::int4 AS a", (1,), prepare=True)
    conn.execute("CREATE TABLE m_psycopg_shape (a int)")
    conn.execute("INSERT INTO m_psycopg_shape VALUES (1)")
    query = "SELECT * FROM m_psycopg_shape WHERE a = %s"
    first = conn.execute(query, (1,)).fetchone()
    conn.execute("ALTER TABLE m_psycopg_shape ADD COLUMN b int DEFAULT 2")
    try:
        second = conn.execute(query, (1,)).fetchone()
    except psycopg.errors.FeatureNotSupported as e:
        second = e.diag.message_primary
    saw("a prepared statement whose table has changed", f"{first} {'(1, 2)' if second == (1, 2) else 'cached plan'}"[:6])
    conn.execute("DROP TABLE m_psycopg_shape")
    try:
        with conn.transaction():
            with conn.transaction():
                conn.execute("INSERT INTO m_psycopg (worker, n) VALUES (97, 1)")
            try:
                with conn.transaction():
                    conn.execute("INSERT INTO m_psycopg (worker, n) VALUES (97, 'x')")
            except psycopg.errors.InvalidTextRepresentation:
                pass
            check("savepoint rolled back alone", conn.execute("SELECT count(*) FROM m_psycopg WHERE worker = 97").fetchone(), (1,))
            raise psycopg.Rollback()
    except psycopg.Error as e:
        check("transaction", repr(e), "")
    check("rollback", conn.execute("SELECT count(*) FROM m_psycopg WHERE worker = 97").fetchone(), (0,))
    try:
        conn.execute("DO $$ BEGIN RAISE EXCEPTION 'own text' USING ERRCODE = 'PT123', DETAIL = 'more', HINT = 'less'; END $$")
    except psycopg.Error as e:
        saw("an error's fields", f"{e.sqlstate} {e.diag.message_primary} {e.diag.message_detail} {e.diag.message_hint}")
    notices = []
    conn.add_notice_handler(lambda d: notices.append(d.message_primary))
    conn.execute("DO $$ BEGIN RAISE NOTICE 'heard'; END $$")
    check("notice", notices, ["heard"])
    conn.execute("DEALLOCATE ALL")
    check("after DEALLOCATE ALL behind the driver's back",
          tried(lambda: conn.execute("SELECT %s::int4 AS b", (5,)).fetchone()), (5,))


def tried(f):
    try:
        return f()
    except psycopg.Error as e:
        return f"{e.sqlstate} {e}"


def cancelling(conn):
    timer = threading.Timer(0.3, conn.cancel_safe)
    timer.start()
    try:
        conn.execute("SELECT pg_sleep(30)")
    except psycopg.errors.QueryCanceled as e:
        saw("cancel", e.diag.message_primary)
    timer.join()
    check("after the cancel", conn.execute("SELECT 1").fetchone(), (1,))


def two_phase(conn):
    with conn.cursor(row_factory=dict_row) as cur:
        cur.execute("SELECT 1 AS a, 'x' AS b, NULL AS c, ARRAY[1, 2] AS d, '12:00'::time AS e")
        saw("rows as dicts", cur.fetchone())
    with conn.cursor(binary=True) as cur:
        check("binary results", cur.execute("SELECT %b::bytea, %b::float8, %b::date", (b"\0\1", 1.5, None)).fetchone(), (b"\0\1", 1.5, None))
    with psycopg.ClientCursor(conn) as cur:
        check("client-side binding, several statements", cur.execute("SELECT %s; SELECT %s", (1, 2)).nextset(), True)
    check("executemany", many(conn), 500)
    check("composed SQL", conn.execute(sql.SQL("SELECT {}").format(sql.Literal("it's"))).fetchone(), ("it's",))


def many(conn):
    with conn.cursor() as cur:
        cur.executemany("INSERT INTO m_psycopg (worker, n) VALUES (%s, %s) RETURNING n", [(96, n) for n in range(500)], returning=True)
        total = 0
        while True:
            total += cur.rowcount
            if not cur.nextset():
                return total


with connect(autocommit=True) as setup:
    setup.execute("DROP TABLE IF EXISTS m_psycopg")
    setup.execute("CREATE TABLE m_psycopg (worker int, n int, doc jsonb)")
    workers("8 connections at once: prepared statements, transactions, errors", worker)
    workers("8 connections that have used and given back session state, all open", visitor)
    for part in (pipeline, cursors, copying, session, errors_and_states, cancelling, two_phase):
        with connect(autocommit=True) as c:
            part(c)
    setup.execute("DROP TABLE m_psycopg")
finish()
