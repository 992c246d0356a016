#!/usr/bin/env bash
# Runs PostgreSQL's own regression suite directly and through pgtier, and compares: see integration/regress.
#
#	run-regress.sh SOURCE [OUT] [flags of integration/regress]
#
# SOURCE is a source tree of PostgreSQL of the version of the server that is found (the programs in $PGTIER_PG_BIN or those
# installed), as from `apt-get source postgresql-15`. It is only read. OUT (default: .cache/regress) gets what the tests
# print. The suite has a shared library in C, regress.so: building it needs a C compiler and the server's header files,
# which are taken from $PGTIER_PG_INCLUDE, or from where the server's pg_config says, or are unpacked from Debian's package
# without installing it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$here/apt.sh"

if [ $# -lt 1 ] || [ ! -f "$1/src/test/regress/parallel_schedule" ]; then
	sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
source=$(cd "$1" && pwd)
out=${2:-$root/.cache/regress}
shift $(($# < 2 ? $# : 2))
mkdir -p "$out"
out=$(cd "$out" && pwd)

bin=${PGTIER_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
major=$("$bin/postgres" --version | sed 's/.*(PostgreSQL) \([0-9]*\).*/\1/;s/.*PostgreSQL) //')
lib=$(cd "$bin/../lib" && pwd)

include=${PGTIER_PG_INCLUDE:-/usr/include/postgresql/$major/server}
if [ ! -f "$include/postgres.h" ]; then
	say "unpacking the header files of postgresql-server-dev-$major into $out/dev"
	version=$(dpkg-query -W -f '${Version}' "postgresql-$major") # a newer minor version may declare what this server lacks
	rm -rf "$out/dev"
	mkdir -p "$out/dev"
	(cd "$out/dev" && apt-get -qq download "postgresql-server-dev-$major=$version" && dpkg -x postgresql-server-dev-*.deb .)
	include=$out/dev/usr/include/postgresql/$major/server
fi

mkdir -p "$out/lib"
cc -shared -fPIC -O2 -w -I "$include" -o "$out/lib/regress.so" "$source/src/test/regress/regress.c"
cp "$lib/refint.so" "$lib/autoinc.so" "$out/lib/"

cd "$root"
CGO_ENABLED=0 go build -trimpath -o "$out/pgtier" ./cmd/pgtier
export PGTIER_PG_BIN=$bin
exec go run ./integration/regress -suite "$source/src/test/regress" -lib "$out/lib" -pgtier "$out/pgtier" -out "$out" "$@"
