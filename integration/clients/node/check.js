// What the client programs share: where pgtier is, and one line for each behaviour that has been seen.
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { isDeepStrictEqual, inspect } = require("node:util");

exports.RO = process.env.PGTIER_RO; // DSNs, one for each tier
exports.RW = process.env.PGTIER_RW;
exports.ADMIN = process.env.PGTIER_ADMIN;

function fail(text) {
	console.log("FAIL", text);
	process.exit(1);
}

// Not by require: a package need not export its package.json.
exports.version = (name) => JSON.parse(readFileSync(join(process.env.NODE_PATH, name, "package.json"))).version;

exports.client = (name, version) => console.log("client", name, version);

exports.equal = (what, got, want) => {
	if (!isDeepStrictEqual(got, want)) fail(`${what}: got ${inspect(got)}, want ${inspect(want)}`);
	console.log("ok", what);
};

// The promise that start returns must be rejected with this SQLSTATE.
exports.fails = async (what, sqlstate, start) => {
	try {
		await start();
	} catch (e) {
		return exports.equal(what, e.code ?? e.message, sqlstate);
	}
	fail(`${what}: worked`);
};

// The program: its end, and whatever goes wrong, is the exit code.
exports.main = (program) => program().then(() => process.exit(0), (e) => fail(e.stack));
