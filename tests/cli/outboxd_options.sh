#!/bin/sh
# outboxd_options.sh - what outboxd's command line promises before anything is served:
# exit statuses, where words go, and that the sample configuration is one.
# Prints "ok" or "not ok" a check, and at last "N passed, N failed, N skipped".
set -u
outboxd=${OUTBOXD_BUILD:-.}/outboxd
sample=${OUTBOXD_SOURCE:-.}/etc/outboxd.conf
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

# expect WHAT STATUS STREAM TEXT ARGUMENT… - runs outboxd; TEXT must stand in out or err, "" = both are empty.
expect() {
	what=$1 wanted=$2 stream=$3 text=$4
	shift 4
	timeout 20 "$outboxd" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
	status=$?
	said=yes
	if [ -z "$text" ]; then
		[ ! -s "$scratch/out" ] && [ ! -s "$scratch/err" ] || said=no
	else
		grep -qF -e "$text" "$scratch/$stream" || said=no
	fi
	if [ "$status" = "$wanted" ] && [ "$said" = yes ]; then
		passed=$((passed + 1))
		echo "ok $what"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $what: exit status $status, wanted $wanted with '$text' in $stream"
	cat "$scratch/out" "$scratch/err"
}

database=$scratch/outbox.db

expect "--version names the program" 0 out "outboxd " --version
expect "--help goes to standard output" 0 out "Usage: outboxd" --help
expect "--help points to the manual" 0 out "outboxd(8)" --help
expect "an unknown option is usage" 64 err "outboxd --help" --frobnicate
expect "an option without its value is usage" 64 err "outboxd --help" --database
expect "a word that is no option is usage" 64 err "queue is no option" --database "$database" queue

expect "no database is configuration" 78 err "no database is named" --check-config
expect "no database without --check-config too" 78 err "event=config.error"
expect "a database is enough" 0 out "" --check-config --database "$database"
expect "--set is as good as an option" 0 out "" --check-config --set "database=$database"
expect "an unknown setting is refused" 78 err "frobnicate" --check-config --database "$database" --set frobnicate=1
expect "--set without a value is refused" 78 err "NAME=VALUE" --check-config --database "$database" --set log_level
expect "a bad duration is refused" 78 err "shutdown_grace = soon" \
	--check-config --database "$database" --set shutdown_grace=soon
expect "a bad word is refused" 78 err "log_format = xml is not one of: logfmt, json" \
	--check-config --database "$database" --set log_format=xml
expect "name servers that are none are refused" 78 err "'nonsense' are no name servers" \
	--check-config --database "$database" --set dns_servers=nonsense
expect "without --check-config too" 78 err "'nonsense' are no name servers" \
	--database "$database" --set dns_servers=nonsense
if [ -e "$database" ]; then
	failed=$((failed + 1))
	echo "not ok a wrong configuration made the database"
fi
expect "a file that is not there is refused" 78 err "$scratch/none.conf" \
	--check-config --database "$database" --config "$scratch/none.conf"

printf 'log_level = info\nmax_workers = many\n' >"$scratch/bad.conf"
expect "the file and line of an error are named" 78 err "bad.conf, line 2: max_workers = many" \
	--check-config --database "$database" --config "$scratch/bad.conf"
expect "--check-config serves nothing" 0 out "" --check-config --config "$sample" --database "$database"
if [ -e "$database" ]; then
	failed=$((failed + 1))
	echo "not ok --check-config made the database"
fi

# The sample: as it is, and with every setting that it only mentions.
expect "the sample configuration is accepted" 0 out "" --check-config --config "$sample"
sed 's/^#\([a-z_]* = \)/\1/' "$sample" >"$scratch/all.conf"
export CREDENTIALS_DIRECTORY="$scratch"
printf '0123456789abcdef0123456789abcdef' >"$scratch/outboxd.keys"
chmod 0400 "$scratch/outboxd.keys"
expect "and so is all that it shows" 0 out "" --check-config --config "$scratch/all.conf"
if cmp -s "$sample" "$scratch/all.conf"; then
	failed=$((failed + 1))
	echo "not ok the sample shows no setting"
fi

# The keys of sealed passwords and files.
chmod 0644 "$scratch/outboxd.keys"
expect "keys that others can read are refused" 78 err "secrets_key_file: $scratch/outboxd.keys" \
	--check-config --config "$scratch/all.conf"
echo nonsense >"$scratch/nonsense.keys"
chmod 0400 "$scratch/nonsense.keys"
expect "keys that are none are refused" 78 err "nonsense.keys, line 1: not a key" \
	--check-config --database "$database" --set "secrets_key_file=nonsense.keys"
expect "keys that are not there are refused" 78 err "secrets_key_file: $scratch/none.keys cannot be read" \
	--check-config --database "$database" --set "secrets_key_file=$scratch/none.keys"
unset CREDENTIALS_DIRECTORY
expect "a credential is not looked for outside of its service" 0 err "level=warning" \
	--check-config --database "$database" --set "secrets_key_file=outboxd.keys"

expect "a database that cannot be made is 73" 73 err "event=storage.failed" --database "$scratch/no/such/folder/outbox.db"
cat "$sample" >"$scratch/text.db"
expect "a file that is no database is 78" 78 err "event=storage.failed" --database "$scratch/text.db"
if ! cmp -s "$sample" "$scratch/text.db"; then
	failed=$((failed + 1))
	echo "not ok a refused file was changed"
fi

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
