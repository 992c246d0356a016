// postgres.js: prepares every query under a name of its own and pipelines whatever it can.
"use strict";
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const postgres = require("postgres");
const check = require("./check");

check.client("postgres.js", check.version("postgres"));
const options = { prepare: true, onnotice: () => {} };

check.main(async () => {
	const ro = postgres(check.RO, { ...options, max: 8 });
	const numbers = [...Array(200).keys()];
	check.equal("pipelined prepared statements, eight clients on two servers",
		(await Promise.all(numbers.map((n) => ro`SELECT ${n}::int AS n`))).map((rows) => rows[0].n), numbers);
	check.equal("many different statements",
		(await Promise.all(numbers.map((n) => ro.unsafe(`SELECT $1::int + ${n} AS n`, [1], { prepare: true })))).map((rows) => rows[0].n), numbers.map((n) => n + 1));
	const [row] = await ro`SELECT ${42}::int AS a, ${"naïve ♞ ' \\"}::text AS b, ${true}::bool AS c, ${null}::text AS d,
		${Buffer.from([0, 255, 39])}::bytea AS e, ${ro.array([1, 2, 3])}::int[] AS f, ${ro.json({ a: [1] })}::jsonb AS g`;
	check.equal("types", Object.values(row), [42, "naïve ♞ ' \\", true, null, Buffer.from([0, 255, 39]), [1, 2, 3], { a: [1] }]);
	check.equal("simple query with several statements",
		(await ro.unsafe("SELECT 1 AS n; SELECT 2 AS n").simple()).map((rows) => rows[0].n), [1, 2]);
	await check.fails("permission denied", "42501", () => ro`DELETE FROM jobs`);
	await check.fails("error in a prepared statement", "22012", () => ro`SELECT 1 / ${0}::int`);
	const mixed = await Promise.allSettled(numbers.map((n) => ro`SELECT 100 / ${n % 10}::int AS n`));
	check.equal("errors among pipelined statements", mixed.map((r) => r.value?.[0].n ?? r.reason.code),
		numbers.map((n) => (n % 10 ? Math.floor(100 / (n % 10)) : "22012")));

	const admin = postgres(check.ADMIN, { ...options, max: 1 });
	await admin`DROP TABLE IF EXISTS postgres_js`;
	await admin`CREATE TABLE postgres_js (n int PRIMARY KEY, t text)`;
	check.equal("DDL as admin", true, true);

	const rw = postgres(check.RW, { ...options, max: 4 });
	await rw.begin(async (tx) => {
		await Promise.all(numbers.map((n) => tx`INSERT INTO postgres_js ${tx({ n, t: `row ${n}` })}`));
		await tx.savepoint((s) => s`INSERT INTO postgres_js VALUES (1, 'again')`).catch((e) => check.equal("savepoint", e.code, "23505"));
	});
	await check.fails("transaction that fails", "23505", () => rw.begin(async (tx) => {
		await tx`INSERT INTO postgres_js VALUES (5000, '')`;
		await tx`INSERT INTO postgres_js VALUES (1, '')`;
	}));
	check.equal("pipelined transaction", (await rw`SELECT count(*)::int AS n FROM postgres_js`)[0].n, 200);

	const lines = Array.from({ length: 1000 }, (_, i) => `${i + 1000}\tcopied\n`);
	await pipeline(Readable.from(lines), await rw`COPY postgres_js FROM STDIN`.writable());
	let out = "";
	for await (const chunk of await rw`COPY (SELECT * FROM postgres_js WHERE n >= 1000 ORDER BY n) TO STDOUT`.readable()) out += chunk;
	check.equal("COPY in and out", out, lines.join(""));
	let read = 0;
	for await (const rows of rw`SELECT generate_series(1, 250) AS n`.cursor(100)) read += rows.length;
	check.equal("cursor, a hundred rows at a time", read, 250);

	const slow = rw`SELECT pg_sleep(60)`.execute();
	setTimeout(() => slow.cancel(), 300);
	await check.fails("cancel", "57014", () => slow);
	check.equal("alive after cancel", (await rw`SELECT 'yes' AS a`)[0].a, "yes");

	const heard = new Promise((resolve) => admin.listen("postgres_js", resolve).then(() => rw.notify("postgres_js", "hello")));
	check.equal("LISTEN and NOTIFY", await heard, "hello");
	await admin`DROP TABLE postgres_js`;
	await Promise.all([ro.end(), rw.end(), admin.end()]);
});
