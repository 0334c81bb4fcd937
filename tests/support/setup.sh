# shellcheck shell=sh disable=SC2086,SC2154,SC3013 # packages are words; the caller sets $top; Debian's sh has -nt
# setup.sh - what ./quickstart and ./runtests do before anything else; sourced by both.
#
# install_packages LIST…   Debian packages named in the files, by apt as root or
#                          through sudo; otherwise says what is missing and fails.
# build_in FOLDER OPTION…  configures and makes in a folder of its own.

say() { printf '%s\n' "$*" >&2; }

missing_packages() {
	sed -e 's/#.*//' "$@" | tr -s ' \t\n' '\n' | sort -u | while read -r package; do
		[ -n "$package" ] || continue
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
	done
}

install_packages() {
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" = 0 ]; then
		as_root=
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		as_root="sudo -n"
	elif command -v sudo >/dev/null && [ -t 0 ]; then
		as_root=sudo
	else
		say "These Debian packages are missing: $missing"
		say "Install them as root (apt-get install $missing) and run this again."
		return 1
	fi
	say "Installing: $missing"
	# The exit status says the same, but the output only matters when it fails.
	log=$(mktemp)
	if ! { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing ||
		{ $as_root apt-get update &&
			$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; }; } >"$log" 2>&1; then
		tail -20 "$log" >&2
		rm -f "$log"
		say "apt-get could not install: $missing"
		return 1
	fi
	rm -f "$log"
}

build_in() {
	folder=$1
	shift
	if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ] || [ "$top/Makefile.am" -nt "$top/Makefile.in" ]; then
		(cd "$top" && autoreconf -fi) >"$top/build-autoreconf.log" 2>&1 || { tail -20 "$top/build-autoreconf.log" >&2; return 1; }
		rm -f "$top/build-autoreconf.log"
	fi
	mkdir -p "$top/$folder"
	(
		cd "$top/$folder" || exit 1
		if [ ! -f config.status ] || [ ../configure -nt config.status ]; then
			../configure "$@" >configure.log 2>&1 || { tail -20 configure.log >&2; exit 1; }
		fi
		make -j"$(nproc)" >make.log 2>&1 || { tail -40 make.log >&2; exit 1; }
	)
}
