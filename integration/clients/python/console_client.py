"""The console by psycopg 3, which begins a transaction before the first command, and prepares."""

import os

import psycopg

import check

check.client("psycopg", f"{psycopg.__version__} (libpq {psycopg.pq.version()}, {psycopg.pq.__impl__})")
dsn = os.environ["PGTIER_CONSOLE"]

with psycopg.connect(dsn) as conn:
    row = conn.execute("SHOW DATABASES").fetchone()
    check.equal("console: a transaction of psycopg's own", row[0], "EPMT")
with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as conn:
    for _ in range(3):
        with conn.cursor(binary=True) as cur:
            cur.execute("SHOW CLIENTS")
            ids = [row[[c.name for c in cur.description].index("id")] for row in cur]
    check.equal("console: prepared, with binary numbers", len(ids), 1)
    conn.execute("PAUSE EPMT/ro")
    conn.execute("RESUME")
    check.fails("console: a mistake", "42601", lambda: conn.execute("SELECT 1"))
    check.equal("console: after a mistake", conn.execute("SHOW VERSION").fetchone()[0][:6], "pgtier")
