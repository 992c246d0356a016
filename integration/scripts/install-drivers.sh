#!/usr/bin/env bash
# Installs the drivers of the driver matrix (integration/clients/matrix): Ruby's, PHP's, Perl's and Java's from the
# distribution, Python's and Node's below $PGTIER_CACHE (.cache in the checkout) with exact versions, and the newest pgjdbc
# beside the distribution's when there is a Maven. lib/pq comes with the Go tool.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"

cache=${PGTIER_CACHE:-$here/../../.cache}/drivers
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

python_packages="psycopg[binary]==3.3.9 psycopg2-binary==2.9.13 asyncpg==0.32.0 SQLAlchemy==2.1.9 greenlet alembic==1.20.1 Django==5.2.19 tzdata"
node_packages="pg@8.23.1 pg-cursor@2.22.0 pg-query-stream@4.17.0 pg-copy-streams@7.0.0"
pgjdbc=42.7.4

missing=
need() { # need PACKAGE COMMAND...: the package is missing when the command fails
	local package=$1
	shift
	if ! "$@" >/dev/null 2>&1; then
		missing="$missing $package"
	fi
}
need python3-venv /usr/bin/python3 -c 'import venv, ensurepip'
need nodejs command -v node
need npm command -v npm
need default-jdk-headless command -v javac
need libpostgresql-jdbc-java test -e /usr/share/java/postgresql.jar
need ruby command -v ruby
need ruby-pg ruby -e 'require "pg"'
need ruby-activerecord ruby -e 'require "active_record"'
need php-cli command -v php
need php-pgsql php -r 'exit(extension_loaded("pdo_pgsql") && extension_loaded("pgsql") ? 0 : 1);'
need libdbd-pg-perl perl -MDBD::Pg -e1
if [ -n "$missing" ]; then
	# shellcheck disable=SC2086
	apt_install "drivers are missing" $missing
fi

# installed NAME WHAT succeeds when WHAT is what was installed as NAME the last time.
installed() { [ "$(cat "$cache/$1.installed" 2>/dev/null)" = "$2" ]; }

if ! installed python "$python_packages"; then
	say "installing with pip into $cache/python: $python_packages"
	/usr/bin/python3 -m venv --clear "$cache/python"
	# shellcheck disable=SC2086
	"$cache/python/bin/pip" install --quiet --disable-pip-version-check $python_packages
	printf '%s\n' "$python_packages" >"$cache/python.installed"
fi
if ! installed node "$node_packages"; then
	say "installing with npm into $cache/node: $node_packages"
	mkdir -p "$cache/node"
	# shellcheck disable=SC2086
	(cd "$cache/node" && npm install --fetch-retries=5 --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error $node_packages >&2)
	printf '%s\n' "$node_packages" >"$cache/node.installed"
fi
if command -v mvn >/dev/null && ! installed java "$pgjdbc"; then
	say "installing pgjdbc $pgjdbc with mvn into $cache/java"
	mkdir -p "$cache/java"
	(cd "$cache/java" && mvn -q -B dependency:copy "-Dartifact=org.postgresql:postgresql:$pgjdbc" -DoutputDirectory=. >&2)
	mv "$cache/java/postgresql-$pgjdbc.jar" "$cache/java/postgresql.jar"
	printf '%s\n' "$pgjdbc" >"$cache/java.installed"
fi
