#!/bin/sh
# The first-boot script: makes a secret once, and touches nothing else.
set -u

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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

for test in makes_a_secret makes_another_each_time keeps_what_is_there keeps_a_flags_file; do
	fresh
	run_test "$test"
done
report first_boot
