"""asyncpg: its statement cache, introspection of types, cursors, COPY, listeners, and what its pool does to a connection."""

import asyncio
import datetime
import decimal
import json
import os
import sys

import asyncpg

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from check import DSN, ROUNDS, WORKERS, check, finish, saw, version  # noqa: E402

version(asyncpg.__version__)


async def worker(pool, i):
    for n in range(ROUNDS):
        async with pool.acquire() as conn:  # reset when it goes back
            assert await conn.fetchval("SELECT $1::int4 * 1000 + $2::int4", i, n) == i * 1000 + n
            async with conn.transaction():
                await conn.execute("INSERT INTO m_asyncpg (worker, n, doc) VALUES ($1, $2, $3)", i, n, json.dumps({"w": i}))
                got = await conn.fetchrow("SELECT count(*) AS c, max(n) AS m FROM m_asyncpg WHERE worker = $1", i)
                assert (got["c"], got["m"]) == (n + 1, n), got
            try:
                await conn.fetchval("SELECT 1 / $1::int4", 0)
                raise AssertionError("no error")
            except asyncpg.DivisionByZeroError:
                pass
            async with conn.transaction(readonly=True, isolation="repeatable_read"):
                assert await conn.fetchval("SHOW transaction_isolation") == "repeatable read"


async def types(conn):
    await conn.execute("DROP TYPE IF EXISTS m_mood, m_point CASCADE; CREATE TYPE m_mood AS ENUM ('sad', 'ok'); CREATE TYPE m_point AS (x int, y m_mood)")
    got = await conn.fetchrow("SELECT $1::m_mood AS mood, $2::m_point AS point, $3::m_mood[] AS moods, $4::numeric AS num, $5::timestamptz AS t",
                              "ok", (1, "sad"), ["sad", "ok"], decimal.Decimal("1.50"),
                              datetime.datetime(2024, 6, 15, tzinfo=datetime.timezone.utc))
    check("types introspected on the way: enum, composite, array", (got["mood"], tuple(got["point"]), got["moods"]), ("ok", (1, "sad"), ["sad", "ok"]))
    check("numeric, timestamptz", (got["num"], got["t"].isoformat()), (decimal.Decimal("1.50"), "2024-06-15T00:00:00+00:00"))
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    check("a codec of the program's", await conn.fetchval("SELECT $1::jsonb || '{\"b\": 2}'", {"a": 1}), {"a": 1, "b": 2})
    await conn.reset_type_codec("jsonb", schema="pg_catalog")


async def statements(conn):
    st = await conn.prepare("SELECT $1::int4 AS a, $2::text AS b")
    check("prepared: parameters and attributes", ([p.name for p in st.get_parameters()], [a.name for a in st.get_attributes()]), (["int4", "text"], ["a", "b"]))
    check("prepared: fetch, fetchval, executemany", (await st.fetchval(5, "x", column=0), (await st.fetchrow(6, "y"))["b"]), (5, "y"))
    check("prepared: explain", isinstance(await st.explain(5, "x"), list), True)
    await conn.executemany("INSERT INTO m_asyncpg (worker, n) VALUES ($1, $2)", [(90, n) for n in range(1000)])
    check("executemany: one pipeline", await conn.fetchval("SELECT count(*) FROM m_asyncpg WHERE worker = 90"), 1000)
    try:
        await conn.executemany("INSERT INTO m_asyncpg (worker, n) VALUES ($1, 10 / $2::int4)", [(91, 5), (91, 0), (91, 2)])
    except asyncpg.DivisionByZeroError:
        check("executemany: all or nothing", await conn.fetchval("SELECT count(*) FROM m_asyncpg WHERE worker = 91"), 0)
    for n in range(250):  # more than the driver's cache and than a server of pgtier keeps
        assert await conn.fetchval(f"SELECT $1::int4 + {n}", 1) == n + 1
    check("250 distinct statements", await st.fetchval(7, "z"), 7)
    if hasattr(conn, "fetchmany"):
        rows = await conn.fetchmany("SELECT $1::int4 AS a", [(1,), (2,)])
        check("fetchmany", [r["a"] for r in rows], [1, 2])
    await conn.execute("CREATE TABLE m_asyncpg_shape (a int)")
    await conn.execute("INSERT INTO m_asyncpg_shape VALUES (1)")
    first = tuple(await conn.fetchrow("SELECT * FROM m_asyncpg_shape"))
    await conn.execute("ALTER TABLE m_asyncpg_shape ADD COLUMN b int DEFAULT 2")
    check("a cached statement whose table has changed", (first, tuple(await conn.fetchrow("SELECT * FROM m_asyncpg_shape"))), ((1,), (1, 2)))
    await conn.execute("DROP TABLE m_asyncpg_shape")
    check("several statements in one text", await conn.execute("SELECT 1; SELECT 2; SELECT 3"), "SELECT 1")


async def cursors(conn):
    async with conn.transaction():
        total = 0
        async for r in conn.cursor("SELECT g FROM generate_series(1, $1::int4) g", 200, prefetch=7):
            total += r["g"]
        check("cursor with a prefetch of 7", total, 20100)
        cur = await conn.cursor("SELECT g FROM generate_series(1, 50) g")
        await cur.forward(10)
        check("cursor: forward, fetch, fetchrow", ([r["g"] for r in await cur.fetch(3)], (await cur.fetchrow())["g"]), ([11, 12, 13], 14))
        try:
            async with conn.transaction():
                await conn.execute("INSERT INTO m_asyncpg (worker, n) VALUES (92, 1)")
                raise KeyError
        except KeyError:
            pass
        check("savepoint", await conn.fetchval("SELECT count(*) FROM m_asyncpg WHERE worker = 92"), 0)
        check("the cursor lives on", (await cur.fetchrow())["g"], 15)


async def copying(conn):
    tag = await conn.copy_records_to_table("m_asyncpg", records=[(93, n) for n in range(2000)], columns=["worker", "n"])
    check("copy_records_to_table", tag, "COPY 2000")
    got = bytearray()

    async def sink(data):
        got.extend(data)

    await conn.copy_from_query("SELECT n FROM m_asyncpg WHERE worker = $1 AND n < $2 ORDER BY n", 93, 5, output=sink, format="csv")
    check("copy_from_query", bytes(got), b"0\n1\n2\n3\n4\n")
    try:
        await conn.copy_records_to_table("m_asyncpg", records=[(94, 1), (94, "no number")], columns=["worker", "n"])
    except Exception as e:
        saw("copy given up by the client", type(e).__name__)
    check("after the copy", await conn.fetchval("SELECT count(*) FROM m_asyncpg WHERE worker = 94"), 0)


async def listening(conn):
    heard = asyncio.get_running_loop().create_future()

    def hear(_, __, channel, payload):
        if not heard.done():
            heard.set_result((channel, payload))

    await conn.add_listener("m_news", hear)
    other = await asyncpg.connect(DSN)
    await other.execute("SELECT pg_notify('m_news', 'hello')")
    await other.close()
    check("a listener that sends nothing hears", await asyncio.wait_for(heard, 20), ("m_news", "hello"))
    await conn.remove_listener("m_news", hear)


async def session(conn):
    await conn.execute("SET search_path = pg_catalog")
    await conn.execute("SET my.own = 'x'")
    await conn.execute("SELECT set_config('statement_timeout', '54321', false)")
    check("SET outlives the transaction", [await conn.fetchval(f"SHOW {n}") for n in ("search_path", "my.own", "statement_timeout")],
          ["pg_catalog", "x", "54321ms"])
    await conn.execute("SELECT pg_advisory_lock(4242)")
    await conn.reset()
    check("Connection.reset", [await conn.fetchval(f"SHOW {n}") for n in ("search_path", "statement_timeout")], ['"$user", public', "0"])
    check("reset has given the advisory lock back", await conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242"), 0)
    check("server_settings of the connection", await conn.fetchval("SHOW application_name"), "matrix")


async def visitors(pool):
    """Connections that have used session state, and been reset by the pool, all open at once."""

    async def visit(i):
        async with pool.acquire() as conn:
            await conn.add_listener("m_visit", lambda *_: None)
            await conn.execute("SELECT pg_advisory_lock($1)", i)
            await conn.execute("SET work_mem = '5MB'")
            await conn.remove_listener("m_visit", next(iter(conn._listeners["m_visit"])).cb)
            assert await conn.fetchval("SHOW work_mem") == "5MB"

    done = await asyncio.gather(*(visit(i) for i in range(WORKERS)), return_exceptions=True)
    check("8 connections with session state, reset by the pool", [repr(e) for e in done if e], [])
    done = await asyncio.gather(*(pool.fetchval("SHOW work_mem") for _ in range(WORKERS)))
    check("nothing is left of it", len(set(done)), 1)


async def cancelling(conn):
    try:
        await conn.execute("SELECT pg_sleep(30)", timeout=0.3)
    except (asyncio.TimeoutError, TimeoutError):
        check("timeout cancels", await conn.fetchval("SELECT 1"), 1)
    task = asyncio.ensure_future(conn.fetchval("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.3)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        check("a cancelled task", await conn.fetchval("SELECT 2"), 2)
    tr = conn.transaction()
    await tr.start()
    try:
        await conn.fetch("SELECT nonsense")
    except asyncpg.UndefinedColumnError:
        pass
    try:
        await conn.fetch("SELECT 1")
    except asyncpg.InFailedSQLTransactionError as e:
        saw("in a failed transaction", str(e))
    await tr.rollback()


async def main():
    conn = await asyncpg.connect(DSN)
    await conn.execute("DROP TABLE IF EXISTS m_asyncpg, m_asyncpg_shape; CREATE TABLE m_asyncpg (worker int, n int, doc jsonb)")
    pool = await asyncpg.create_pool(DSN, min_size=WORKERS, max_size=WORKERS, server_settings={"application_name": "matrix"})
    done = await asyncio.gather(*(worker(pool, i) for i in range(WORKERS)), return_exceptions=True)
    check("8 connections of a pool at once", [repr(e) for e in done if e], [])
    for part in (types, statements, cursors, copying, listening, session, cancelling):
        async with pool.acquire() as c:
            await part(c)
    await visitors(pool)
    await pool.expire_connections()
    done = await asyncio.gather(*(worker(pool, 20 + i) for i in range(WORKERS)), return_exceptions=True)
    check("the pool once more, with new connections", [repr(e) for e in done if e], [])
    await pool.close()
    await conn.execute("DROP TABLE m_asyncpg")
    await conn.execute("DROP TYPE m_point, m_mood")
    await conn.close()


asyncio.run(asyncio.wait_for(main(), 150))
finish()
