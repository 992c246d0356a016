#!/usr/bin/env bash
# Installs a C compiler when there is none: Go's race detector is linked through cgo. pgtier itself needs none.
set -euo pipefail
cd "$(dirname "$0")"
. ./apt.sh

if command -v "${CC:-gcc}" >/dev/null; then
	exit 0
fi
apt_install "no C compiler found (the race detector needs one)" gcc libc6-dev
