# Sourced by the install scripts: apt-get for Debian and Ubuntu, without starting what it installs.

say() { printf '%s\n' "pgtier: $*" >&2; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		say "this needs root, and there is no sudo; run as root: $*"
		exit 1
	fi
}

# apt_install WHY PACKAGE... installs packages and leaves their services stopped. Two files keep Debian from starting a
# system cluster or service while it installs; both are ours, both are removed again, and an existing policy-rc.d (a
# container's, usually with the same purpose) is left alone.
apt_install() {
	local why=$1
	shift
	if ! command -v apt-get >/dev/null; then
		say "$why: this is not Debian or Ubuntu; please install: $*"
		exit 1
	fi
	say "$why: installing with apt-get: $*"
	if [ "$(id -u)" -ne 0 ]; then
		say "(asking sudo for that)"
	fi
	as_root env DEBIAN_FRONTEND=noninteractive sh -eu -c '
		no_cluster=/etc/postgresql-common/createcluster.d/pgtier-no-cluster.conf
		no_service=/usr/sbin/policy-rc.d
		made=
		cleanup() {
			rm -f "$no_cluster"
			if [ -n "$made" ]; then rm -f "$no_service"; fi
		}
		trap cleanup EXIT
		trap "exit 1" HUP INT TERM
		mkdir -p "${no_cluster%/*}"
		echo "create_main_cluster = false" >"$no_cluster"
		if [ ! -e "$no_service" ]; then
			made=yes
			printf "#!/bin/sh\nexit 101\n" >"$no_service"
			chmod 755 "$no_service"
		fi
		apt-get -qq -o Acquire::Retries=5 update
		apt-get -qq -o Acquire::Retries=5 install --no-install-recommends "$@" >/dev/null
	' apt_install "$@"
}
