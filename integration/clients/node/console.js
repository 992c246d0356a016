// The console by node-postgres.
"use strict";
const { Client } = require("pg");
const check = require("./check.js");

check.client("node-postgres", check.version("pg"));
check.main(async () => {
	const client = new Client({ connectionString: process.env.PGTIER_CONSOLE });
	await client.connect();
	const { rows } = await client.query("SHOW CLIENTS");
	check.equal("console: rows", rows.map((r) => [r.identity, r.state]), [["ops", "console"]]);
	const prepared = await client.query({ name: "pools", text: "SHOW DATABASES" });
	check.equal("console: prepared", prepared.rows.length, 3);
	await client.query("PAUSE EPMT/ro");
	check.equal("console: a command", (await client.query("RESUME")).command, "RESUME");
	await check.fails("console: a mistake", "42601", () => client.query("SELECT 1"));
	await client.end();
});
