# shellcheck shell=ash
# A model of procd, and of the functions by which an init script speaks to it
# (procd.sh of OpenWrt): what a `set` does to what runs, signals, ends and
# respawns, which file a jail shows. Every call is written down in $CALLS, what
# comes of it in $PROCD/log:
#   started, restarted, signalled N, unchanged, stopped, spawned ...
# $PROCD holds the triggers, and of each instance:
#   config/   what it was set to last, a file an attribute
#   shape     that of it which is compared, with the files' sums of then
#   state     running, stopping or waiting (for its next start), ended (a loop)
#   ends      short lives in a row
#   young     it runs, but has no handler for signals yet
#   again     it starts anew once it has ended
#   jail/     what its jail shows
# With $PROCD/slow a process that is told to end is there until procd_gone.

record() {
	local name="$1" argument line

	shift
	line="$name"
	for argument in "$@"; do
		line="$line [$argument]"
	done
	command printf '%s\n' "$line" >>"$CALLS"
}

procd_says() { printf '%s\n' "$1" >>"$PROCD/log"; }

# --- what the script says, attribute by attribute

procd_open_service() {
	record procd_open_service "$@"
	rm -rf "$PROCD/new" "$PROCD/new_triggers"
	mkdir -p "$PROCD/new" "$PROCD/instances"
	: >"$PROCD/new_triggers"
}

procd_open_instance() {
	record procd_open_instance "$@"
	INSTANCE=$PROCD/new/${1:-instance1}
	mkdir -p "$INSTANCE"
}

procd_set_param() {
	record procd_set_param "$@"
	write_param "$@"
}

# write_param TYPE VALUE...: an unknown type is left out in silence.
write_param() {
	local type="$1"

	shift
	case "$type" in
		env | limits | data | command | netdev | file | respawn | watch)
			: >"$INSTANCE/$type"
			append_values "$type" "$@"
			;;
		user | group)
			# One that the system does not know is no user: then it is root.
			case " ${USERS-smol-mtproxy} " in
				*" $1 "*) echo "$1" >"$INSTANCE/$type" ;;
			esac
			;;
		reload_signal) kill -l "$1" >"$INSTANCE/$type" ;;
		nice | term_timeout | pidfile | seccomp | capabilities | facility | stdout | stderr | no_new_privs)
			echo "$1" >"$INSTANCE/$type"
			;;
	esac
}

append_values() {
	local type="$1" value

	shift
	for value in "$@"; do
		printf '%s\n' "$value" >>"$INSTANCE/$type"
	done
}

procd_append_param() {
	record procd_append_param "$@"
	case "$1" in
		env | limits | data | command | netdev | file | respawn | watch) ;;
		*) [ ! -e "$INSTANCE/$1" ] || return 0 ;;
	esac
	if [ -e "$INSTANCE/$1" ]; then
		append_values "$@"
	else
		write_param "$@"
	fi
}

procd_add_jail() {
	record procd_add_jail "$@"
	printf '%s\n' "$@" >"$INSTANCE/jail"
	: >"$INSTANCE/mount"
}

procd_add_jail_mount() {
	record procd_add_jail_mount "$@"
	add_mounts 0 "$@"
}

procd_add_jail_mount_rw() {
	record procd_add_jail_mount_rw "$@"
	add_mounts 1 "$@"
}

# A path ends at its first blank; before there is a jail, nothing is added.
add_mounts() {
	local writable="$1" path

	shift
	[ -e "$INSTANCE/mount" ] || return 0
	# shellcheck disable=SC2048
	for path in $*; do
		echo "$path $writable" >>"$INSTANCE/mount"
	done
}

for name in json_add_array json_close_array json_add_object json_close_object json_add_string; do
	# They go into the instance's data where that is open.
	eval "$name() { record $name \"\$@\"; echo \"$name \$*\" >>\"\$INSTANCE/data\"; }"
done

procd_open_data() { record procd_open_data "$@"; }
procd_close_data() { record procd_close_data "$@"; }

procd_close_instance() {
	record procd_close_instance "$@"
	# The system's own, which five short lives in a row exhaust.
	[ ! -f "$INSTANCE/respawn" ] || [ -s "$INSTANCE/respawn" ] || printf '%s\n' 3600 5 5 >"$INSTANCE/respawn"
	INSTANCE=
}

# "EVENT PACKAGE COMMAND", - for any package.
procd_add_reload_trigger() {
	local package

	record procd_add_reload_trigger "$@"
	for package in "$@"; do
		echo "config.change $package /etc/init.d/smol-mtproxy reload" >>"$PROCD/new_triggers"
	done
}

procd_add_raw_trigger() {
	local event="$1"

	record procd_add_raw_trigger "$@"
	shift 2
	echo "$event - $*" >>"$PROCD/new_triggers"
}

procd_set_config_changed() { record procd_set_config_changed "$@"; }

procd_close_service() {
	local instance name

	service_triggers
	record procd_close_service "$@"
	mv "$PROCD/new_triggers" "$PROCD/triggers"
	for instance in "$PROCD"/instances/*; do
		name=${instance##*/}
		[ ! -d "$instance" ] || [ -d "$PROCD/new/$name" ] || stop_instance "$instance"
	done
	for instance in "$PROCD"/new/*; do
		[ ! -d "$instance" ] || update_instance "$PROCD/instances/${instance##*/}" "$instance"
	done
}

# --- what procd makes of it; INSTANCE is its directory

update_instance() {
	local changed signal

	changed=
	if [ ! -d "$1" ]; then
		mkdir "$1"
		replace_config "$1" "$2"
		start_instance "$1" started
		return
	fi
	shape_of "$2" | cmp -s - "$1/shape" || changed=1
	signal=$(cat "$1/config/reload_signal" 2>/dev/null)
	replace_config "$1" "$2"
	case "$(cat "$1/state")" in
		running)
			if [ -z "$changed" ]; then
				procd_says unchanged
			elif [ -n "$signal" ]; then
				# Whatever has changed: the rest is for the next start.
				signal_instance "$1" "$signal"
			else
				procd_says restarted
				: >"$1/again"
				end_instance "$1"
			fi
			;;
		stopping) : >"$1/again" ;;
		*) start_instance "$1" started ;;
	esac
}

replace_config() {
	rm -rf "$1/config"
	mv "$2" "$1/config"
	shape_of "$1/config" >"$1/shape"
}

# All that is compared: not the data, nor where the output goes; tables and files
# have no order.
shape_of() {
	local attribute

	for attribute in "$1"/*; do
		case "${attribute##*/}" in
			data | stdout | stderr) ;;
			file) (cd / && xargs md5sum <"$attribute" 2>&1 | sort) ;;
			env | limits | mount | netdev) sort "$attribute" ;;
			*) cat "$attribute" ;;
		esac | sed "s|^|${attribute##*/} |"
	done
}

start_instance() {
	[ -z "$2" ] || procd_says "$2"
	rm -f "$1/again"
	echo running >"$1/state"
	: >"$1/young"
	bind_jail "$1"
}

# Mounts, as ujail makes them: a file stays the one that it is at the start, even
# when another takes its name; a directory shows what is in it. What is not there
# is left out in silence.
bind_jail() {
	local path writable source target number=0

	rm -rf "$1/jail"
	mkdir "$1/jail"
	[ -f "$1/config/mount" ] || return 0
	while read -r path writable; do
		source=${path%%:*}
		target=${path#*:}
		number=$((number + 1))
		if [ -d "$source" ]; then
			ln -s "$source" "$1/jail/$number"
		elif [ -e "$source" ]; then
			ln "$(readlink -f "$source")" "$1/jail/$number"
		else
			continue
		fi
		echo "$target $number $writable" >>"$1/jail/list"
	done <"$1/config/mount"
}

# in_jail PATH: where the jail's PATH is outside, and whether it can be written.
in_jail() {
	local instance="$PROCD/instances/instance1" target number writable best=

	[ -f "$instance/jail/list" ] || return 1
	while read -r target number writable; do
		case "$1" in
			"$target") ;;
			"$target"/*) [ -d "$instance/jail/$number" ] || continue ;;
			*) continue ;;
		esac
		if [ "${#target}" -ge "${#best}" ]; then
			best=$target
			FOUND=$instance/jail/$number${1#"$target"}
			WRITABLE=$writable
		fi
	done <"$instance/jail/list"
	[ -n "$best" ]
}

jail_shows() { in_jail "$1" && cat "$FOUND"; }

jail_may_write() { in_jail "$1" && [ "$WRITABLE" = 1 ]; }

stop_instance() {
	case "$(cat "$1/state")" in
		running)
			procd_says stopped
			end_instance "$1"
			;;
		stopping) rm -f "$1/again" ;;
		*)
			procd_says stopped
			rm -rf "$1"
			;;
	esac
}

# It was told to end.
end_instance() {
	echo stopping >"$1/state"
	[ -e "$PROCD/slow" ] || instance_gone "$1"
}

instance_gone() {
	if [ -e "$1/again" ]; then
		start_instance "$1" ''
	else
		rm -rf "$1"
	fi
}

# A process that has no handler dies of it. What waits for its next start is sent
# it too, under the number that it had: another may have that by then.
signal_instance() {
	case "$(cat "$1/state")" in
		running)
			if [ -e "$1/young" ]; then
				procd_says "killed by signal $2"
				instance_ends "$1" 0
			else
				procd_says "signalled $2"
			fi
			;;
		stopping) procd_says "signalled $2 as it ends" ;;
		*) procd_says "signalled $2 somebody else" ;;
	esac
}

# instance_ends INSTANCE SECONDS: of itself, after so long a life.
instance_ends() {
	local threshold pause most ends

	{ read -r threshold && read -r pause && read -r most; } <"$1/config/respawn"
	ends=$(cat "$1/ends" 2>/dev/null) || ends=0
	if [ "$2" -lt "$threshold" ]; then
		ends=$((ends + 1))
	else
		ends=0
	fi
	echo "$ends" >"$1/ends"
	if [ "$ends" -gt "$most" ] && [ "$most" -gt 0 ]; then
		procd_says 'given up'
		echo ended >"$1/state"
	else
		procd_says "again in $pause s"
		echo waiting >"$1/state"
	fi
}

procd_kill() {
	local instance

	record procd_kill "$@"
	rm -f "$PROCD/triggers"
	for instance in "$PROCD"/instances/*; do
		[ ! -d "$instance" ] || stop_instance "$instance"
	done
}

# One that ends runs still.
procd_running() {
	cat "$PROCD"/instances/*/state 2>/dev/null | grep -q -x -e running -e stopping
}

procd_send_signal() {
	local instance number

	record procd_send_signal "$@"
	number=$(kill -l "$3") || return 1
	for instance in "$PROCD"/instances/*; do
		[ ! -d "$instance" ] || signal_instance "$instance" "$number"
	done
}

# ubus call service list or state: the latter as if to spawn.
ubus() {
	local instance

	record ubus "$@"
	case "$1 $2 $3" in
		'call service list')
			if procd_running; then
				printf '\t\t\t\t"running": true,\n'
			else
				printf '\t\t\t\t"running": false,\n'
			fi
			;;
		'call service state')
			for instance in "$PROCD"/instances/*; do
				case "$(cat "$instance/state" 2>/dev/null)" in
					waiting | ended) start_instance "$instance" spawned ;;
				esac
			done
			;;
		*) return 1 ;;
	esac
}

# --- what happens by itself, for the tests

# procd_ends SECONDS
procd_ends() { instance_ends "$PROCD/instances/instance1" "$1"; }

# The pause is over.
procd_respawns() {
	[ "$(cat "$PROCD/instances/instance1/state")" != waiting ] ||
		start_instance "$PROCD/instances/instance1" respawned
}

procd_gone() { instance_gone "$PROCD/instances/instance1"; }

# Time has passed since the last call.
procd_settles() { rm -f "$PROCD"/instances/*/young; }

# What the log has of a run: the level by the stream.
procd_logs() {
	local config="$PROCD/instances/instance1/config" stream="$PROCD/stream" variable argument

	set --
	while read -r variable; do
		set -- "$@" "$variable"
	done <"$config/env"
	while read -r argument; do
		set -- "$@" "$argument"
	done <"$config/command"
	env "$@" >"$stream.info" 2>"$stream.err"
	[ "$(cat "$config/stdout" 2>/dev/null)" != 1 ] || sed 's/^/daemon.info /' "$stream.info"
	[ "$(cat "$config/stderr" 2>/dev/null)" != 1 ] || sed 's/^/daemon.err /' "$stream.err"
}

# procd_event EVENT [PACKAGE]: the commands of its triggers.
procd_event() {
	local event package command

	[ -f "$PROCD/triggers" ] || return 0
	while read -r event package command; do
		case "$1" in
			"${event%.\*}"*) [ "$event" != "${event%.\*}" ] || [ "$event" = "$1" ] || continue ;;
			*) continue ;;
		esac
		[ "$package" = - ] || [ "$package" = "${2:-}" ] || continue
		echo "$command"
	done <"$PROCD/triggers"
}
