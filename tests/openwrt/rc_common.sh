# shellcheck shell=ash disable=SC2034
# A stand-in for OpenWrt's /etc/rc.common and what it loads: it reads a UCI file
# and writes down every call to procd, the firewall's JSON and the log.
#   rc_common.sh INIT_SCRIPT ACTION [ARGUMENT...]
#                         (environment: CONFIG, FIREWALL, CALLS, PROCD)
# The order of things is rc.common's: what it does for procd comes after the
# script, and over what that has defined, but for reload_service and restart. The
# status of start_service counts for nothing, that of the last command does.

here=${0%/*}
initscript=$1
action=${2:-help}
shift 2

for name in chown logger; do
	eval "$name() { record $name \"\$@\"; }"
done

# --- /lib/functions.sh: UCI values in shell variables

config_load() {
	local key

	# An image has no configuration to read.
	[ -z "${IPKG_INSTROOT:-}" ] || return 0
	# Lists are read anew; options stay, where they are gone.
	for key in $UCI_LISTS; do
		eval "UCI_$key= UCI_${key}_LENGTH="
	done
	UCI_LISTS=
	UCI_main_TYPE=
	SECTION=
	# A UCI file reads as calls of config, option and list.
	# shellcheck disable=SC1090,SC2153
	. "$CONFIG"
}
UCI_LISTS=

reset_cb() {
	option_cb() { :; }
	list_cb() { :; }
}
reset_cb

config() {
	SECTION="$2"
	eval "UCI_$2_TYPE=\$1"
}

option() {
	eval "UCI_${SECTION}_$1=\$2"
	option_cb "$1" "$2"
}

list() {
	local count

	eval "count=\$((\${UCI_${SECTION}_$1_LENGTH:-0} + 1))"
	[ "$count" != 1 ] || UCI_LISTS="$UCI_LISTS ${SECTION}_$1"
	eval "UCI_${SECTION}_$1_LENGTH=\$count"
	eval "UCI_${SECTION}_$1_ITEM$count=\$2"
	eval "UCI_${SECTION}_$1=\"\${UCI_${SECTION}_$1:+\$UCI_${SECTION}_$1 }\$2\""
	list_cb "$1" "$2"
}

config_get() {
	eval "$1=\${UCI_$2_$3:-\$4}"
}

config_get_bool() {
	local value

	config_get value "$2" "$3" "$4"
	case "$value" in
		1 | on | true | yes | enabled) value=1 ;;
		0 | off | false | no | disabled) value=0 ;;
		*) value="$4" ;;
	esac
	eval "$1=\$value"
}

config_list_foreach() {
	local section="$1" key="$2" function="$3" count number=1 value

	shift 3
	config_get count "$section" "${key}_LENGTH"
	while [ "$number" -le "${count:-0}" ]; do
		config_get value "$section" "${key}_ITEM$number"
		"$function" "$value" "$@"
		number=$((number + 1))
	done
}

# uci show PACKAGE: $FIREWALL has its answer, where there is a firewall. At a mistake,
# which $CONFIG.mistake names, it stops; config_load goes on without what follows.
uci() {
	case "$*" in
		'-q show firewall') cat "$FIREWALL" 2>/dev/null ;;
		'show smol-mtproxy') [ ! -e "$CONFIG.mistake" ] || ! cat "$CONFIG.mistake" >&2 ;;
		*) return 1 ;;
	esac
}

# --- rc.common

start() { :; }
stop() { :; }
reload() { restart "$@"; }
restart() {
	stop "$@"
	start "$@"
}
boot() { start "$@"; }
shutdown() { stop; }

enable() {
	local name="${initscript##*/}"

	ln -sf "../init.d/$name" "$IPKG_INSTROOT/etc/rc.d/S$START$name" &&
		ln -sf "../init.d/$name" "$IPKG_INSTROOT/etc/rc.d/K$STOP$name"
}

start_service() { :; }
stop_service() { :; }
service_triggers() { :; }

defined() { type "$1" >/dev/null 2>&1; }

# shellcheck disable=SC1090
. "$initscript"

if [ -n "${USE_PROCD:-}" ]; then
	# shellcheck source=tests/openwrt/procd.sh
	. "$here/procd.sh"

	start() {
		procd_open_service smol-mtproxy "$initscript"
		start_service "$@"
		procd_close_service set
		! defined service_started || service_started
	}

	stop() {
		stop_service "$@"
		procd_kill smol-mtproxy "${1:-}"
		! defined service_stopped || service_stopped
	}

	reload() {
		if defined reload_service; then
			reload_service "$@"
		else
			start
		fi
	}
fi

# A disk on which nothing has room.
if [ -e "$PROCD/full" ]; then
	echo() { return 1; }
	printf() { return 1; }
fi

case " boot shutdown start stop restart reload enable $EXTRA_COMMANDS " in
	*" $action "*) "$action" "$@" ;;
	*) echo "no command $action" >&2 ;;
esac
