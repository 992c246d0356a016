// node-postgres: a pool of clients, named prepared statements, cursors, COPY streams, LISTEN.
"use strict";
const { once } = require("node:events");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const pg = require("pg");
const Cursor = require("pg-cursor");
const copy = require("pg-copy-streams");
const check = require("./check");

check.client("node-postgres", check.version("pg"));

check.main(async () => {
	const ro = new pg.Pool({ connectionString: check.RO, max: 8 });
	const numbers = [...Array(200).keys()];
	const add = (n) => ro.query({ name: `add ${n % 5}`, text: `SELECT $1::int + ${n % 5} AS n`, values: [n] });
	check.equal("named statements, a pool of eight on two servers",
		(await Promise.all(numbers.map(add))).map((r) => r.rows[0].n), numbers.map((n) => n + (n % 5)));
	check.equal("unnamed statements",
		(await Promise.all(numbers.map((n) => ro.query("SELECT $1::int AS n", [n])))).map((r) => r.rows[0].n), numbers);
	const values = [42, "naïve ♞ 'quotes' \\", true, 2.5, null, Buffer.from([0, 255, 39, 92]), [1, 2, 3], { a: [1] }];
	const casts = ["int", "text", "bool", "float8", "text", "bytea", "int[]", "jsonb"];
	const columns = casts.map((c, i) => `$${i + 1}::${c} AS c${i}`).join(", ");
	check.equal("types", Object.values((await ro.query(`SELECT ${columns}`, values)).rows[0]), values);
	check.equal("several statements in a simple query",
		(await ro.query("SELECT 1 AS n; SELECT 2 AS n")).map((r) => r.rows[0].n), [1, 2]);
	await check.fails("permission denied", "42501", () => ro.query("DELETE FROM jobs"));
	await check.fails("error in a prepared statement", "22012", () => ro.query("SELECT 1 / $1::int", [0]));
	check.equal("alive after errors", (await ro.query("SELECT current_user AS u")).rows[0].u, "epmt-ro");

	const timed = new pg.Client({ connectionString: check.RO, statement_timeout: 200, application_name: "timed" });
	await timed.connect();
	await check.fails("statement_timeout as a startup parameter", "57014", () => timed.query("SELECT pg_sleep(60)"));
	check.equal("application_name", (await timed.query("SHOW application_name")).rows[0].application_name, "timed");
	await timed.end();

	const admin = new pg.Client(check.ADMIN);
	await admin.connect();
	await admin.query("DROP TABLE IF EXISTS node_postgres");
	await admin.query("CREATE TABLE node_postgres (n int PRIMARY KEY, t text)");
	check.equal("DDL as admin", true, true);

	const rw = new pg.Client(check.RW);
	await rw.connect();
	await rw.query("BEGIN");
	for (const n of [1, 2, 3]) await rw.query({ name: "insert", text: "INSERT INTO node_postgres VALUES ($1, $2)", values: [n, `row ${n}`] });
	await rw.query("SAVEPOINT s");
	await check.fails("unique violation in a transaction", "23505", () => rw.query({ name: "insert", text: "INSERT INTO node_postgres VALUES ($1, $2)", values: [1, ""] }));
	await rw.query("ROLLBACK TO SAVEPOINT s");
	await rw.query("COMMIT");
	check.equal("transaction with a savepoint", (await rw.query("SELECT count(*)::int AS n FROM node_postgres")).rows[0].n, 3);

	const lines = Array.from({ length: 1000 }, (_, i) => `${i + 100}\tcopied\n`);
	await pipeline(Readable.from(lines), rw.query(copy.from("COPY node_postgres FROM STDIN")));
	let out = "";
	for await (const chunk of rw.query(copy.to("COPY (SELECT * FROM node_postgres WHERE n >= 100 ORDER BY n) TO STDOUT"))) out += chunk;
	check.equal("COPY in and out", out, lines.join(""));
	await rw.query("BEGIN");
	const cursor = rw.query(new Cursor("SELECT generate_series(1, $1::int) AS n", [250]));
	let read = 0;
	for (let rows = await cursor.read(100); rows.length > 0; rows = await cursor.read(100)) read += rows.length;
	await cursor.close();
	await rw.query("COMMIT");
	check.equal("cursor, a hundred rows at a time", read, 250);
	const large = Buffer.alloc(8 << 20, "0123456789abcdef");
	check.equal("8 MiB there and back", (await rw.query("SELECT $1::bytea AS b", [large])).rows[0].b.equals(large), true);

	await admin.query("LISTEN node_postgres");
	const heard = once(admin, "notification");
	await rw.query("NOTIFY node_postgres, 'hello'");
	check.equal("LISTEN and NOTIFY", (await heard)[0].payload, "hello");
	await admin.query("DROP TABLE node_postgres");
	await Promise.all([ro.end(), rw.end(), admin.end()]);
});
