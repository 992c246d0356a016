#!/usr/bin/env bash
# Installs the clients that the tests in integration/clients drive: psycopg 3, psycopg2 and Alembic from Debian's packages,
# node-postgres and postgres.js with npm into $PGTIER_CACHE (.cache in the checkout), by the versions and checksums of
# integration/clients/node/package-lock.json. Nothing of the npm packages is run while installing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

packages=()
need() { # PACKAGE COMMAND...: PACKAGE is missing unless COMMAND works
	local package=$1
	shift
	if ! "$@" >/dev/null 2>&1; then
		packages+=("$package")
	fi
}
need python3-psycopg /usr/bin/python3 -c "import psycopg"
need python3-psycopg2 /usr/bin/python3 -c "import psycopg2"
need python3-sqlalchemy /usr/bin/python3 -c "import sqlalchemy"
need python3-alembic /usr/bin/python3 -c "import alembic.command"
need nodejs node --version
need npm npm --version
if [ ${#packages[@]} -gt 0 ]; then
	apt_install "clients for the tests are missing" "${packages[@]}"
fi

lock=$here/../clients/node/package-lock.json
target=${PGTIER_CACHE:-$here/../../.cache}/clients
mkdir -p "$target"
if ! cmp -s "$lock" "$target/installed.json"; then
	say "installing node-postgres and postgres.js with npm into $target"
	cp "${lock%/*}/package.json" "$lock" "$target"
	(cd "$target" && npm ci --fetch-retries=5 --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
	cp "$lock" "$target/installed.json"
fi
