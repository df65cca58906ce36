# shellcheck shell=dash
# What the tests of the init script share: it is run by the shell of routers
# (busybox ash) against a model of procd. Sourced, with $here set.

source_dir=$here/../../config/openwrt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/openwrt/assert.sh
. "$here/assert.sh"

applets "$work/applets"

# in_router COMMAND...: with the script's places in $work, and the shell of
# routers as $ash.
in_router() {
	CONFIG=$work/config FIREWALL=$work/firewall CALLS=$work/calls PROCD=$work/procd \
		RUN_DIR=$work/run TMP_DIR=$work/tmp LIB=$source_dir ETC=$work/etc NR_OPEN=$work/nr_open \
		PROG=$work/smol-mtproxy CAPABILITIES=$source_dir/smol-mtproxy.capabilities.json \
		UJAIL=$work/ujail FIRST_START=$work/first_start PATH=$work/applets "$@"
}
ash=$work/applets/ash

# service ACTION [ARGUMENT...]: runs the init script with $work/config.
service() {
	: >"$work/calls"
	procd settles
	service_at_once "$@"
}

# With what ran before still at its beginning, and after what was said before.
service_at_once() {
	in_router "$ash" "$here/rc_common.sh" "${INIT:-$source_dir/smol-mtproxy.init}" "$@" 2>"$work/stderr"
}

# procd FUNCTION [ARGUMENT...]: of the model of it (procd.sh), without procd_.
procd() {
	local function="procd_$1"

	shift
	in_model "$function" "$@"
}

# in_model FUNCTION [ARGUMENT...]: as jail_shows PATH or jail_may_write PATH.
in_model() {
	# shellcheck disable=SC2016
	in_router "$ash" -c '. "$0"; "$@"' "$here/procd.sh" "$@"
}

# event NAME [PACKAGE]: what procd's triggers make of it.
event() {
	local commands

	commands=$(procd event "$@")
	printf '%s\n' "$commands" | sed 's|^/etc/init.d/smol-mtproxy ||' >"$work/commands"
	# shellcheck disable=SC2046
	[ -z "$commands" ] || service $(cat "$work/commands")
}

# became LINE...: what procd made of all since the last time.
became() {
	local want

	want=$(printf '%s\n' "$@")
	equal "$want" "$(cat "$work/procd/log" 2>/dev/null)"
	rm -f "$work/procd/log"
}

# uci_config LINE...: a section `main` of these lines.
uci_config() {
	{ echo "config proxy 'main'"; printf '\t%s\n' "$@"; } >"$work/config"
}

fresh() {
	rm -rf "$work/run" "$work/procd" "$work/ujail" "$work/ujail.calls" "$work/config" "$work/config.mistake" \
		"$work/first_start" "$work/refuses" "${work:?}/etc" "${work:?}/tmp" "$work/firewall"
	mkdir "$work/procd" "$work/etc" "$work/tmp"
	echo 1048576 >"$work/nr_open"
	echo 'nameserver 127.0.0.1' >"$work/etc/resolv.conf"
	echo '127.0.0.1 localhost' >"$work/etc/hosts"
	echo "DISTRIB_RELEASE='24.10.0'" >"$work/etc/openwrt_release"
	install_program
	fresh_config
}

# install_program: one that says the words it is called with. "run --test" ends
# as $work/refuses says: "STATUS MESSAGE", or well if there is none.
install_program() {
	cat >"$work/smol-mtproxy" <<-END
		#!/bin/sh
		case "\$1 \$2" in
			'run --test')
				[ -f $work/refuses ] || exit 0
				read -r status message <$work/refuses
				echo "\$message" >&2
				exit "\$status"
				;;
			'secret '*) ;;
			*) echo "\$@" ;;
		esac
	END
	chmod +x "$work/smol-mtproxy"
}

fresh_config() {
	uci_config "list listen '0.0.0.0:8443'" "list secret 'dd00112233445566778899aabbccddeeff'"
}

# install_ujail STATUS: one that ends its trial run with STATUS, or with what
# $work/ujail.status says later.
install_ujail() {
	echo "$1" >"$work/ujail.status"
	cat >"$work/ujail" <<-END
		#!/bin/sh
		printf '%s\n' "\$*" >>$work/ujail.calls
		read -r status <$work/ujail.status
		exit "\$status"
	END
	chmod +x "$work/ujail"
}

opened_ports() {
	sed -n 's/json_add_string \[dest_port\] \[\(.*\)\]/\1/p' "$work/calls" | tr '\n' ' '
}
