# shellcheck shell=ash
# Asks the program, with flags and copies that lie in one directory, and says its
# answers by the names that the user knows. Sourced by place.sh.

# Seconds, for the largest tables on the slowest router.
: "${LONGEST_TEST:=60}"

# run_on DIRECTORY WORDS…: the program with WORDS and the flags there. Its status.
run_on() {
	local dir="$1"

	shift
	if [ "$1" = link ]; then
		# A QR code looks whether it is on a terminal.
		with_named_errors "$dir" "$@"
	else
		with_named_errors "$dir" "$@" | named_by_source "$dir"
	fi
	return "$(cat "$dir/status")"
}

# Its stdout passes by the pipe.
with_named_errors() {
	local dir="$1"

	shift
	{
		{
			"$PROG" "$@" --config "$dir/flags"
			echo "$?" >"$dir/status"
		} 2>&1 >&3 | named_by_source "$dir" >&2
	} 3>&1
}

# is_good DIRECTORY [reload]: asks the program, which ends as it would at a start.
is_good() {
	local said status line errors

	said=$(in_time "$PROG" run --test --user "$RUN_AS" --config "$1/flags" 2>&1) && return
	status=$?
	[ -n "$said" ] ||
		said="$PROG run --test has ended with $status, or not within $LONGEST_TEST s: see whether memory is left, and what else runs as the user $RUN_AS"
	# Without what it logs.
	errors=$(printf '%s\n' "$said" | sed -n 's/^smol-mtproxy: //p')
	printf '%s\n' "${errors:-$said}" | named_by_source "$1" | while IFS= read -r line; do
		complain "$line"
	done
	case "$status" in
		# Usage, data, permission, configuration: no time mends them.
		64 | 65 | 77 | 78) return 1 ;;
	esac
	[ "$2" != reload ]
}

# in_time COMMAND…: ends it after LONGEST_TEST. Another process of the user that it
# becomes may stop it, and all reloads with it. No busybox of routers has timeout.
in_time() {
	local command watch status

	"$@" 9>&- &
	command=$!
	(
		for _ in $(seq "$LONGEST_TEST"); do
			sleep 1
			kill -0 "$command" || exit
		done
		kill -9 "$command"
	) >/dev/null 2>&1 9>&- &
	watch=$!
	# The shell has a word for one that was killed.
	wait "$command" 2>/dev/null
	status=$?
	kill "$watch" 2>/dev/null
	return "$status"
}

# named_by_source DIRECTORY: what the program says of files there, by the names that
# the user knows.
named_by_source() {
	local flags=

	config_get flags main flags_file
	DIR="$1" FLAGS_FILE="$flags" awk '
		function replaced(line, name, user,    from, at) {
			from = 1
			while (at = index(substr(line, from), name)) {
				at += from - 1
				from = at + length(name)
				# table-1 is not in table-10.
				if (substr(line, from, 1) ~ /[0-9A-Za-z-]/) continue
				line = substr(line, 1, at - 1) user substr(line, from)
				from = at + length(user)
			}
			return line
		}

		BEGIN {
			dir = ENVIRON["DIR"]
			flags = ENVIRON["FLAGS_FILE"]
			while ((getline line <(dir "/copies")) > 0) {
				name = line
				sub(/\t.*/, "", name)
				source[dir "/" name] = substr(line, length(name) + 2)
			}
		}

		{
			line = $0
			for (name in source) line = replaced(line, name, source[name])
			if (flags != "") line = replaced(line, dir "/flags", flags)
			# Lines of what is rendered tell the user nothing.
			while (flags == "" && (at = index(line, dir "/flags:"))) {
				end = substr(line, at + length(dir) + 7)
				sub(/^[0-9]*: */, "", end)
				line = substr(line, 1, at - 1) end
			}
			print line
		}
	'
}
