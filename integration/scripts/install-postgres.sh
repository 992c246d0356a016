#!/usr/bin/env bash
# Installs PostgreSQL's programs (server, psql, pgbench) from the distribution when this machine has no server. No system
# cluster is created or started: pgtier's tests and demo make throw-away clusters of their own.
set -euo pipefail
cd "$(dirname "$0")"
. ./apt.sh

if [ -n "${PGTIER_PG_BIN:-}" ]; then
	exit 0 # told where it is; what is wrong with it will be said by whoever uses it
fi
if command -v postgres >/dev/null && command -v initdb >/dev/null; then
	exit 0
fi
for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb; do
	if [ -x "$initdb" ]; then
		exit 0
	fi
done
apt_install "no PostgreSQL server found" postgresql
