#!/usr/bin/env bash
# Installs PgBouncer, which the benchmark compares with, when there is none. Its service is neither started now nor at boot.
set -euo pipefail
cd "$(dirname "$0")"
. ./apt.sh

if command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; then
	exit 0
fi
apt_install "no PgBouncer found" pgbouncer
if [ -d /run/systemd/system ]; then
	as_root systemctl disable --quiet pgbouncer
else
	as_root update-rc.d pgbouncer disable
fi
