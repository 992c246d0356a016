#!/usr/bin/env bash
# Runs the tests that start a PostgreSQL on several versions of it: each test binary is built once and run for each version,
# as many at a time as there are cores. Prints a line for each, and all that a failed one has said.
#
#	test-matrix.sh VERSION...
#
# Left out: the soak, which tests pgtier's memory of what is whose for a time, and the drivers' matrix, which compares with a
# direct connection; and the race detector. What those find does not depend on the version; `make test` has them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
go=${GO:-go}
module=$("$go" list -m)
left_out="$module/integration/(soak|clients/matrix)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

packages=$("$go" list -f "{{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}:{{.ImportPath}}" ./... |
	grep -E "$module/integration/(pgtest/testpg|harness) " | sed 's/.*://' | grep -vxE "$left_out")
for package in $packages; do
	dir=${package#"$module"/}
	"$go" test -c -o "$work/${dir//\//_}.test" "$package"
done

one() { # one VERSION BIN DIR: runs a package's tests in its directory
	local log=$work/$1-${3//\//_}.log begin=$SECONDS
	if (cd "$3" && CI=true PGTIER_REQUIRE_PG=1 PGTIER_PG_BIN=$2 "$work/${3//\//_}.test" -test.timeout=10m) >"$log" 2>&1; then
		echo "ok    PostgreSQL $1  $3  $((SECONDS - begin)) s"
		return
	fi
	echo "FAIL  PostgreSQL $1  $3  $((SECONDS - begin)) s"
	cat "$log"
	return 1
}
export -f one
export work

for version in "$@"; do
	bin=$("$here/install-matrix.sh" "$version")
	for package in $packages; do
		printf '%s\0%s\0%s\0' "$version" "$bin" "${package#"$module"/}"
	done
done >"$work/list"
xargs -0 -n 3 -P "$(nproc)" bash -c 'one "$@" || exit 1' one <"$work/list"
