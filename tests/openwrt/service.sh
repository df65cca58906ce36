# shellcheck shell=sh
# What the tests of the init script share: it is run by the shell of routers
# (busybox ash) against a recorder of procd's calls. Sourced, with $here set.

source_dir=$here/../../config/openwrt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/openwrt/assert.sh
. "$here/assert.sh"

applets "$work/applets"

# service ACTION: runs the init script with $work/config.
service() {
	: >"$work/calls"
	CONFIG=$work/config CALLS=$work/calls RUN_DIR=$work/run LIB=$source_dir \
		PROG=$work/smol-mtproxy CAPABILITIES=$source_dir/smol-mtproxy.capabilities.json \
		UJAIL=$work/ujail FIRST_START=$work/first_start PATH=$work/applets \
		"$work/applets/ash" "$here/rc_common.sh" "${INIT:-$source_dir/smol-mtproxy.init}" "$1" 2>"$work/stderr"
}

# uci_config LINE...: a section `main` of these lines.
uci_config() {
	{ echo "config proxy 'main'"; printf '\t%s\n' "$@"; } >"$work/config"
}

fresh() {
	rm -rf "$work/run" "$work/ujail" "$work/ujail.calls" "$work/config" "$work/first_start" "$work/refuses"
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

# install_ujail STATUS: one that ends its trial run with STATUS.
install_ujail() {
	cat >"$work/ujail" <<-END
		#!/bin/sh
		printf '%s\n' "\$*" >>$work/ujail.calls
		exit $1
	END
	chmod +x "$work/ujail"
}

opened_ports() {
	sed -n 's/json_add_string \[dest_port\] \[\(.*\)\]/\1/p' "$work/calls" | tr '\n' ' '
}
