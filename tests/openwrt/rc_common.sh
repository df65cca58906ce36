# shellcheck shell=ash
# A stand-in for OpenWrt's /etc/rc.common and what it loads: it reads a UCI file
# and writes down every call to procd, the firewall's JSON and the log.
#   rc_common.sh INIT_SCRIPT ACTION       (environment: CONFIG, CALLS)
# The order of things is rc.common's: reload runs reload_service if the script
# has one, start opens the service, runs start_service and closes it.

record() {
	local name="$1" argument line

	shift
	line="$name"
	for argument in "$@"; do
		line="$line [$argument]"
	done
	printf '%s\n' "$line" >>"$CALLS"
}

for name in procd_open_service procd_close_service procd_open_instance procd_close_instance \
	procd_set_param procd_append_param procd_add_jail procd_add_jail_mount procd_add_jail_mount_rw \
	procd_open_data procd_close_data procd_add_reload_trigger procd_set_config_changed \
	json_add_array json_close_array json_add_object json_close_object json_add_string \
	procd_kill logger chown; do
	eval "$name() { record $name \"\$@\"; }"
done

# --- /lib/functions.sh: UCI values in shell variables

config_load() {
	SECTION=
	# A UCI file reads as calls of config, option and list.
	# shellcheck disable=SC1090
	. "$CONFIG"
}

reset_cb() {
	option_cb() { :; }
	list_cb() { :; }
}
reset_cb

config() { SECTION="$2"; }

option() {
	eval "UCI_${SECTION}_$1=\$2"
	option_cb "$1" "$2"
}

list() {
	local count

	eval "count=\$((\${UCI_${SECTION}_$1_LENGTH:-0} + 1))"
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

# --- rc.common

service_triggers() { :; }

start() {
	procd_open_service smol-mtproxy
	start_service
	status=$?
	service_triggers
	procd_close_service set
	service_started
	return "$status"
}

stop() {
	procd_kill smol-mtproxy
	service_stopped
}

reload() { reload_service; }

# shellcheck disable=SC1090
. "$1"
"$2"
