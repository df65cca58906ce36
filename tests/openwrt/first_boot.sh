#!/bin/sh
# The first-boot script: makes a secret once, and touches nothing else. And the
# configuration that it finds there.
set -u

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$here/../..
# shellcheck source=tests/openwrt/assert.sh
. "$here/assert.sh"

applets "$work/applets"
# A uci that keeps KEY=VALUE lines in $work/uci and writes down its calls.
mkdir "$work/bin"
cat >"$work/bin/uci" <<'END'
#!/bin/sh
[ "$1" = -q ] && shift
echo "$*" >>"$STORE.calls"
case $1 in
	get) grep -q "^$2=" "$STORE" && sed -n "s/^$2=//p" "$STORE" ;;
	set | add_list) echo "$2" >>"$STORE" ;;
	commit) cp "$STORE" "$STORE.committed" ;;
esac
END
chmod +x "$work/bin/uci"

# The package manager sources the script in a subshell, and removes it only if
# that succeeds.
first_boot() {
	STORE=$work/uci CONFIG_FILE=$work/config FIRST_START=$work/first_start PATH=$work/bin:$work/applets \
		"$work/applets/ash" -c "( . '$here/../../config/openwrt/smol-mtproxy.defaults' )" 2>"$work/stderr"
}

fresh() {
	rm -f "$work"/uci* "$work/first_start"
	: >"$work/uci"
	: >"$work/config"
	chmod 0644 "$work/config"
}

makes_a_secret() {
	echo 'smol-mtproxy.main=proxy' >"$work/uci"
	first_boot || return 1
	grep -Eq '^smol-mtproxy\.main\.secret=dd[0-9a-f]{32}$' "$work/uci.committed" ||
		fail "no secret: $(cat "$work/uci")"
	equal 1 "$(grep -c 'main=proxy' "$work/uci.committed")"
	equal 600 "$(stat -c %a "$work/config")"
	[ -e "$work/first_start" ] || fail 'the first start is not marked'
}

makes_another_each_time() {
	first_boot || return 1
	cp "$work/uci" "$work/first"
	fresh
	first_boot || return 1
	cmp -s "$work/first" "$work/uci" && fail 'the same secret twice'
	contains "$work/uci.committed" 'smol-mtproxy.main=proxy'
}

keeps_what_is_there() {
	printf '%s\n' 'smol-mtproxy.main=proxy' 'smol-mtproxy.main.secret=mine' >"$work/uci"
	first_boot || return 1
	equal mine "$(sed -n 's/.*secret=//p' "$work/uci")"
	absent "$work/uci.committed"
	absent "$work/first_start"
}

keeps_a_flags_file() {
	printf '%s\n' 'smol-mtproxy.main=proxy' 'smol-mtproxy.main.flags_file=/etc/mine' >"$work/uci"
	first_boot || return 1
	equal '' "$(sed -n 's/.*secret=//p' "$work/uci")"
}

# The script runs again with each new package, and what needs no secret must not
# get one then.
makes_none_where_none_is_needed() {
	for line in role=back data_dir=/mnt/usb/proxy 'listen=8443,secret=dd00112233445566778899aabbccddeeff'; do
		printf '%s\n' 'smol-mtproxy.main=proxy' "smol-mtproxy.main.$line" >"$work/uci"
		first_boot || return 1
		equal '' "$(sed -n 's/.*main\.secret=//p' "$work/uci")"
		absent "$work/first_start"
	done
	for line in role=front listen=8443; do
		fresh
		printf '%s\n' 'smol-mtproxy.main=proxy' "smol-mtproxy.main.$line" >"$work/uci"
		first_boot || return 1
		[ -n "$(sed -n 's/.*main\.secret=//p' "$work/uci")" ] || fail "$line: no secret"
	done
}

template=$root/config/openwrt/smol-mtproxy.config

# The first commit writes the file anew, without comments and in this form.
the_template_is_what_uci_writes() {
	printf '%s\n' '' "config proxy 'main'" "	option enabled '1'" "	list listen '8443'" \
		"	option firewall_zone 'wan'" '' | file_is "$template"
}

# So the help is the table.
every_key_of_the_template_is_explained() {
	keys=$(awk '$1 == "option" || $1 == "list" { print $2 }' "$template")
	for key in $keys; do
		grep -q "^| .*\`$key\`.* |" "$root/doc/routers.md" || fail "doc/routers.md: no row for $key"
	done
}

# reload_config compares with sums that are made at boot, and does not know a
# package that came since.
no_page_says_reload_config_after_commit() {
	equal '' "$(grep -n '^[^#]*&& *reload_config' "$root/README.md" "$root"/doc/*.md)"
}

for test in makes_a_secret makes_another_each_time keeps_what_is_there keeps_a_flags_file \
	makes_none_where_none_is_needed the_template_is_what_uci_writes \
	every_key_of_the_template_is_explained no_page_says_reload_config_after_commit; do
	fresh
	run_test "$test"
done
report first_boot
