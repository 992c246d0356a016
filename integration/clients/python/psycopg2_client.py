"""psycopg2: simple queries only; transactions, COPY, server-side cursors, LISTEN, cancel."""

import io
import select
import threading

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool

import check

check.client("psycopg2", psycopg2.__version__.split()[0] + f" (libpq {psycopg2.extensions.libpq_version()})")


def one(conn, statement, args=None):
    with conn.cursor() as cursor:
        cursor.execute(statement, args)
        return cursor.fetchone()[0]


ro = psycopg2.connect(check.RO)
ro.autocommit = True
check.equal("current_user", one(ro, "SELECT current_user"), "epmt-ro")
check.equal("types", one(ro, "SELECT %s::text || %s::int || %s::bool", ("naïve ♞ ' \\", 7, True)), "naïve ♞ ' \\7true")
check.equal("bytea", bytes(one(ro, "SELECT %s::bytea", (psycopg2.Binary(b"\x00\xff'\\"),))), b"\x00\xff'\\")
check.fails("permission denied", "42501", lambda: one(ro, "INSERT INTO hosts (name) VALUES ('x') RETURNING name"))
ro.set_client_encoding("LATIN1")
check.equal("client_encoding", one(ro, "SELECT %s::text || length(%s)", ("é", "é")), "é1")
ro.set_session(isolation_level="SERIALIZABLE", readonly=True, autocommit=False)
check.equal("set_session", one(ro, "SHOW transaction_isolation"), "serializable")
ro.rollback()
ro.close()

admin = psycopg2.connect(check.ADMIN)
with admin, admin.cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS psycopg2")
    cursor.execute("CREATE TABLE psycopg2 (n int PRIMARY KEY, t text)")
check.equal("DDL in a transaction as admin", True, True)

rw = psycopg2.connect(check.RW)
with rw, rw.cursor() as cursor:
    psycopg2.extras.execute_values(cursor, "INSERT INTO psycopg2 VALUES %s", [(i, f"row {i}") for i in range(100)])
check.fails("unique violation", "23505", lambda: one(rw, "INSERT INTO psycopg2 VALUES (1, 'x') RETURNING n"))
check.fails("failed transaction", "25P02", lambda: one(rw, "SELECT 1"))
rw.rollback()
check.equal("alive after ROLLBACK", one(rw, "SELECT count(*) FROM psycopg2"), 100)
rw.commit()

with rw, rw.cursor() as cursor:
    cursor.copy_expert("COPY psycopg2 FROM STDIN", io.StringIO("".join(f"{i}\tcopied\n" for i in range(200, 1200))))
    out = io.StringIO()
    cursor.copy_expert("COPY (SELECT n FROM psycopg2 WHERE t = 'copied' ORDER BY n) TO STDOUT", out)
check.equal("COPY in and out", out.getvalue(), "".join(f"{i}\n" for i in range(200, 1200)))

with rw, rw.cursor("named") as cursor:
    cursor.itersize = 100
    cursor.execute("SELECT generate_series(1, 1000)")
    check.equal("server-side cursor", sum(1 for _ in cursor), 1000)

threading.Timer(0.3, rw.cancel).start()
check.fails("cancel", "57014", lambda: one(rw, "SELECT pg_sleep(60)"))
rw.rollback()
check.equal("alive after cancel", one(rw, "SELECT 'yes'"), "yes")
rw.close()

pool = psycopg2.pool.ThreadedConnectionPool(1, 8, check.RW)
wrong = []


def work(n):
    conn = pool.getconn()
    try:
        for i in range(25):
            with conn:
                if one(conn, "SELECT %s * 1000 + %s", (n, i)) != n * 1000 + i:
                    wrong.append((n, i))
    finally:
        pool.putconn(conn)


threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
check.equal("a pool of eight on two servers", wrong, [])
pool.closeall()

# LISTEN, in session mode.
admin.autocommit = True
admin.cursor().execute("LISTEN psycopg2")
sender = psycopg2.connect(check.RW)
with sender, sender.cursor() as cursor:
    cursor.execute("NOTIFY psycopg2, 'hello'")
sender.close()
select.select([admin], [], [], 60)
admin.poll()
check.equal("LISTEN and NOTIFY", [n.payload for n in admin.notifies], ["hello"])
admin.cursor().execute("DROP TABLE psycopg2")
admin.close()
