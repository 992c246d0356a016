// node-postgres: named statements, cursors, query streams, COPY streams, a pool, LISTEN, cancel by timeout.
"use strict";
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");
const copy = require("pg-copy-streams");
const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");
const assert = require("node:assert");

const connectionString = process.env.DSN;
const workers = Number(process.env.WORKERS);
const rounds = 15;
let failed = false;

function check(name, got, want) {
  if (JSON.stringify(got) === JSON.stringify(want)) return console.log(`ok ${name}`);
  failed = true;
  console.log(`FAILED ${name}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}
const saw = (name, text) => console.log(`saw ${name} => ${text}`);

async function worker(pool, i) {
  for (let n = 0; n < rounds; n++) {
    const r = await pool.query({ name: "sum", text: "SELECT $1::int4 * 1000 + $2::int4 AS s", values: [i, n] });
    assert.strictEqual(r.rows[0].s, i * 1000 + n);
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      await client.query({ name: "ins", text: "INSERT INTO m_node (worker, n, doc) VALUES ($1, $2, $3)", values: [i, n, { w: i }] });
      const c = await client.query({ name: "cnt", text: "SELECT count(*)::int4 AS c FROM m_node WHERE worker = $1", values: [i] });
      assert.strictEqual(c.rows[0].c, n + 1);
      await client.query("COMMIT");
      await assert.rejects(client.query({ name: "div", text: "SELECT 1 / $1::int4", values: [0] }), { code: "22012" });
    } finally {
      client.release();
    }
  }
}

async function statements(client) {
  const many = await Promise.all([...Array(50).keys()].map((n) => client.query({ name: `q${n % 10}`, text: `SELECT $1::int4 + ${n % 10} AS v`, values: [n] })));
  check("50 queued queries over 10 names", many.map((r) => r.rows[0].v), [...Array(50).keys()].map((n) => n + (n % 10)));
  await assert.rejects(client.query({ name: "q0", text: "SELECT 2", values: [] }), /must be unique/);
  check("array mode and several results", (await client.query({ text: "SELECT 1, 2", rowMode: "array" })).rows[0], [1, 2]);
  check("several statements in one text", (await client.query("SELECT 1 AS a; SELECT 2 AS a")).map((r) => r.rows[0].a), [1, 2]);
  check("types: numeric, timestamptz, bytea, json", (await client.query("SELECT $1::numeric AS n, $2::timestamptz AS t, $3::bytea AS b, $4::jsonb AS j, $5::text[] AS a",
    ["1.50", new Date("2024-06-15T00:00:00Z"), Buffer.from([0, 255]), { k: [1] }, ["a,b", null]])).rows[0],
  { n: "1.50", t: "2024-06-15T00:00:00.000Z", b: { type: "Buffer", data: [0, 255] }, j: { k: [1] }, a: ["a,b", null] });
  await client.query({ name: "binary", text: "SELECT $1::int4 AS v", values: [5], binary: true });
  await client.query("CREATE TABLE m_node_shape (a int)");
  await client.query("INSERT INTO m_node_shape VALUES (1)");
  await client.query({ name: "shape", text: "SELECT * FROM m_node_shape" });
  await client.query("ALTER TABLE m_node_shape ADD COLUMN b int DEFAULT 2");
  const changed = await client.query({ name: "shape", text: "SELECT * FROM m_node_shape" }).catch((e) => e);
  saw("a named statement whose table has changed", `${changed.code} ${changed.message}`);
  await client.query("DROP TABLE m_node_shape");
}

async function streams(client) {
  const cursor = client.query(new Cursor("SELECT g FROM generate_series(1, $1::int4) g", [100]));
  let total = 0;
  for (let rows = await cursor.read(7); rows.length; rows = await cursor.read(7)) for (const r of rows) total += r.g;
  await cursor.close();
  check("pg-cursor: 7 rows at a time", total, 5050);
  const half = client.query(new Cursor("SELECT g FROM generate_series(1, 100) g"));
  await half.read(3);
  await half.close();
  check("pg-cursor closed half-way", (await client.query("SELECT 1 AS a")).rows[0].a, 1);
  let count = 0;
  for await (const _ of client.query(new QueryStream("SELECT g FROM generate_series(1, 2000) g", [], { batchSize: 50 }))) count++;
  check("pg-query-stream", count, 2000);
  await pipeline(Readable.from([...Array(1000).keys()].map((n) => `90\t${n}\n`)), client.query(copy.from("COPY m_node (worker, n) FROM STDIN")));
  check("COPY FROM a stream", (await client.query("SELECT count(*)::int4 AS c FROM m_node WHERE worker = 90")).rows[0].c, 1000);
  let text = "";
  for await (const chunk of client.query(copy.to("COPY (SELECT n FROM m_node WHERE worker = 90 ORDER BY n LIMIT 3) TO STDOUT"))) text += chunk;
  check("COPY TO a stream", text, "0\n1\n2\n");
  const broken = client.query(copy.from("COPY m_node (worker, n) FROM STDIN"));
  await assert.rejects(pipeline(Readable.from(["91\tx\n"]), broken), { code: "22P02" });
  check("after a COPY that the server refused", (await client.query("SELECT 1 AS a")).rows[0].a, 1);
}

async function session(client) {
  const heard = new Promise((resolve) => client.on("notification", (m) => resolve([m.channel, m.payload])));
  await client.query("LISTEN m_node");
  const other = new Client({ connectionString });
  await other.connect();
  await other.query("SELECT pg_notify('m_node', 'hello')");
  await other.end();
  check("LISTEN on an idle connection", await heard, ["m_node", "hello"]);
  await client.query("UNLISTEN m_node");
  await client.query("SET TIME ZONE 'Asia/Tokyo'");
  check("SET outlives the transaction", (await client.query("SELECT '2024-01-01 00:00'::timestamptz::text AS t")).rows[0].t, "2024-01-01 00:00:00+09");
  await client.query("RESET TIME ZONE");
  const notices = [];
  client.on("notice", (n) => notices.push(n.message));
  await client.query("DO $$ BEGIN RAISE NOTICE 'heard'; END $$");
  check("notice", notices, ["heard"]);
}

async function timeouts() {
  const slow = new Client({ connectionString, statement_timeout: 200, application_name: "matrix" });
  await slow.connect();
  const e = await slow.query("SELECT pg_sleep(30)").catch((e) => e);
  saw("statement_timeout of the connection", `${e.code} ${e.message}`);
  check("after the timeout", (await slow.query("SHOW application_name")).rows[0].application_name, "matrix");
  await slow.query("BEGIN");
  await slow.query("SELECT nonsense").catch(() => {});
  saw("in a failed transaction", (await slow.query("SELECT 1").catch((e) => e)).message);
  await slow.query("ROLLBACK");
  await slow.end();
}

async function main() {
  console.log(`version ${require("pg/package.json").version}`);
  const admin = new Client({ connectionString });
  await admin.connect();
  await admin.query("DROP TABLE IF EXISTS m_node, m_node_shape; CREATE TABLE m_node (worker int, n int, doc jsonb)");
  const pool = new Pool({ connectionString, max: workers });
  const done = await Promise.allSettled([...Array(workers).keys()].map((i) => worker(pool, i)));
  check("8 connections of a pool at once: named statements, transactions, errors", done.filter((d) => d.reason).map((d) => String(d.reason)), []);
  await pool.end();
  for (const part of [statements, streams, session]) {
    const client = new Client({ connectionString });
    await client.connect();
    await part(client);
    await client.end();
  }
  await timeouts();
  await admin.query("DROP TABLE m_node");
  await admin.end();
}

setTimeout(() => { console.log("FAILED takes too long"); process.exit(1); }, 120000).unref();
main().then(() => process.exit(failed ? 1 : 0), (e) => { console.log(`FAILED ${e.stack}`); process.exit(1); });
