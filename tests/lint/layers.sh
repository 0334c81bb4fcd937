#!/bin/sh
# layers.sh [TOP] - refuses an #include that points up or sideways, and a foreign
# library outside its one home (doc/ARCHITECTURE.md, Layers).
set -f # patterns stay patterns
top=${1:-.}
bad=0

complain() {
	echo "$1: $2"
	bad=1
}

# The folders that a folder may include from.
below() {
	case $1 in
	common) echo common ;;
	storage | mime | smtp | run) echo "common $1" ;;
	daemon) echo "common storage mime smtp run daemon" ;;
	cli) echo "common storage mime smtp run cli" ;;
	token) echo "common token" ;;
	*) echo "common storage mime smtp run daemon cli token tests" ;;
	esac
}

# header pattern | files that may include it | what it is
homes='gnutls/|smtp/tls*.[ch] common/digest.c common/seal.c token/assertion.c|GnuTLS
curl/|token/post.c|libcurl
jansson|cli/table.[ch] token/answer.c token/assertion.c|jansson
gsasl|smtp/auth.c|GNU SASL
ares|smtp/resolve.c|c-ares
magic|cli/file_type.c|libmagic
sqlite3|storage/*|SQLite
libpq-fe|storage/*|libpq'

for file in $(cd "$top" && find common storage mime smtp run daemon cli token tests -name '*.[ch]' | sort); do
	folder=${file%%/*}
	for include in $(sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$top/$file"); do
		[ "$include" = config.h ] && continue
		case " $(below "$folder") " in
		*" ${include%%/*} "*) ;;
		*) complain "$file" "may not include \"$include\"" ;;
		esac
	done
	[ "$folder" = tests ] && continue
	while IFS='|' read -r header allowed name; do
		grep -Eq "^[ 	]*#[ 	]*include[ 	]*<$header" "$top/$file" || continue
		home=no
		for pattern in $allowed; do
			# shellcheck disable=SC2254
			case $file in $pattern) home=yes ;; esac
		done
		[ $home = yes ] || complain "$file" "$name belongs in $allowed"
	done <<END
$homes
END
done
exit $bad
