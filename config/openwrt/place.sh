# shellcheck shell=ash disable=SC2034,SC2153
# Puts the flags and the files that they name where the service can read them.
# Sourced by the init script, after render.sh.
#
# The run directory is root's and the service reads it; the service's own are `data`
# in it, and data_dir and the directory of ctl's socket if the user has chosen others.
# Whatever has a name there may be a link that the service has planted, so root
# reads, makes and gives away nothing there.

# shellcheck source=config/openwrt/paths.sh
. "$LIB/paths.sh"
# shellcheck source=config/openwrt/ask.sh
. "$LIB/ask.sh"

TAB=$(printf '\t')
# More of a file than the program takes, for it to refuse.
MOST_BYTES=4194305

# prepare [reload]: new flags and copies in the run directory, or all as it was and
# the reason logged; CHANGED tells whether they are others. What may mend itself, such as a disk that is not there yet, is
# good enough to start with, but not to replace what runs.
prepare() {
	local next="$RUN_DIR/next" path fresh=

	PREPARED=
	CHANGED=
	own_run_dir || return 1
	if ! fill "$next" "$RUN_DIR/copies" "$1" || ! make_directories "$next/flags" ||
		! give_to_read "$next" "$next"/* || ! is_good "$next" "$1"; then
		rm -rf "$next"
		return 1
	fi
	for path in "$next"/*; do
		fresh="$fresh ${path##*/} "
		cmp -s "$path" "$RUN_DIR/${path##*/}" || CHANGED=1
		[ "${path##*/}" = flags ] || mv -f "$path" "$RUN_DIR/" || return 1
	done
	mv -f "$next/flags" "$FLAGS" && rmdir "$next" || return 1
	for path in "$RUN_DIR"/link-* "$RUN_DIR"/web-* "$RUN_DIR"/table-* "$RUN_DIR"/telegram-*; do
		case "$fresh" in
			*" ${path##*/} "*) ;;
			*) rm -f "$path" ;;
		esac
	done
	PREPARED=1
}

# with_flags WORDS…: the program with WORDS and the flags as they would be now;
# those of the running service stay.
with_flags() {
	local dir

	dir=$(mktemp -d "$TMP_DIR/smol-mtproxy.XXXXXX") || return 1
	(
		trap 'rm -rf "$dir"' EXIT
		trap 'exit 130' HUP INT TERM
		fill "$dir" >&2 || exit 1
		run_on "$dir" "$@"
	)
}

# data_dir [FLAGS]: the service's directory.
data_dir() {
	clean "$(flag_values "${1:-$FLAGS}" data-dir | tail -n 1)"
}

# control_dir [FLAGS]: that of ctl's socket, if it is another.
control_dir() {
	local path

	path=$(flag_values "${1:-$FLAGS}" control | tail -n 1)
	[ -z "$path" ] || lies_in "$path" "$(data_dir "$1")" || clean "$(dirname "$path")"
}

# --- directories

own_run_dir() {
	local data="$RUN_DIR/data"

	[ ! -d "$RUN_DIR" ] || [ -O "$RUN_DIR" ] || renew_run_dir || return 1
	mkdir -p "$RUN_DIR" && chmod 0750 "$RUN_DIR" || return 1
	give_to_read "$RUN_DIR" || { name_user; return 1; }
	if [ -L "$data" ] || [ ! -d "$data" ]; then
		rm -f "$data"
		(umask 077 && mkdir "$data") || return 1
	fi
	chown -h "$RUN_AS:$RUN_AS" "$data" || { name_user; return 1; }
	# A hand and a trigger may reload at once: the second waits until the script of the
	# first ends. The service cannot open this file, and so cannot hold it for ever.
	(umask 077 && : >>"$RUN_DIR/lock") && exec 9>>"$RUN_DIR/lock" || return 1
	! command -v flock >/dev/null || flock 9
	rm -rf "$RUN_DIR/next"
	(umask 027 && mkdir "$RUN_DIR/next")
}

# One that was the service's, as older packages had it, may hold links of its making,
# and get others until it is root's: a new one takes its name, and only its data.
# Nothing is removed in directories of the service's, as it may put a link in the
# place of one while that goes on.
renew_run_dir() {
	local new old="$RUN_DIR/.old" path

	new=$(mktemp -d "$RUN_DIR.XXXXXX") || return 1
	mv "$RUN_DIR" "$new/.old" && mv "$new" "$RUN_DIR" || return 1
	mv "$old/data" "$RUN_DIR/" 2>/dev/null
	chown -h root:root "$old" && chmod 0700 "$old" || return 1
	for path in "$old"/* "$old"/.*; do
		if [ -L "$path" ] || [ ! -d "$path" ]; then
			rm -f "$path"
		fi
	done
	rmdir "$old" 2>/dev/null || :
}

name_user() {
	complain "cannot give files to the user $RUN_AS: reinstall the package, which makes it"
}

# give_to_read PATH…: theirs, by the group.
give_to_read() {
	chown -h "root:$RUN_AS" "$@"
}

# make_directories FLAGS: those of the user's choice that are not there yet become
# the service's.
make_directories() {
	local path

	BAD=
	path=$(data_dir "$1")
	[ "$path" = "$RUN_DIR/data" ] || make_directory data_dir "$path" 077
	path=$(control_dir "$1")
	[ -z "$path" ] || make_directory control "$path" 022
	[ -z "$BAD" ]
}

# make_directory KEY PATH UMASK
make_directory() {
	[ ! -d "$2" ] || return 0
	if is_roots "$2" && (umask 022 && make_parents "$2") && (umask "$3" && mkdir "$2") &&
		# Another user may have been faster in /tmp.
		is_roots "$2" && chown -h "$RUN_AS:$RUN_AS" "$2"; then
		:
	else
		bad "$1: '$2' is not there and cannot be made, or only where others than root may write: make it yourself, and give it to the user $RUN_AS with chown"
	fi
}

# mkdir -p would go through a link that somebody has just made.
make_parents() {
	local path

	path=$(dirname "$1")
	[ -d "$path" ] || { make_parents "$path" && mkdir "$path"; }
}

# check_directory KEY PATH: one that the service is to write.
check_directory() {
	local jail parent

	parent=$(dirname "$2")
	if [ "$2" = / ]; then
		bad "$1: the root directory cannot be the service's: name one below it"
	elif lies_in "$2" "$RUN_DIR" && [ "$2" != "$RUN_DIR/data" ]; then
		bad "$1: the service cannot write in $RUN_DIR: leave it out, or name another directory"
	elif [ -k "$parent" ] && [ -d "$2" ] && [ ! -L "$2" ] &&
		! { leaders "$parent"; changers "$parent"; } | has_service; then
		# In one like /tmp none but its owner can have another in its place.
		changers "$2" | head -n 1 | grep -qx -e u0 -e "u$(id -u)" -e "u$SERVICE_USER" ||
			bad "$1: '$2' is another user's, who could have another in its place: give it to the user $RUN_AS with chown, or name another"
	elif is_the_services "$2"; then
		bad "$1: '$2' lies in a directory where the user $RUN_AS can write, and could have another in its place: choose one in a directory of root's"
	fi
	config_get_bool jail main jail 1
	[ "$jail" = 1 ] && [ -x "$UJAIL" ] && ! ujail_is_old || return 0
	case "$2" in
		*[[:space:]:*?[]*)
			bad "$1: a jail cannot show '$2', for its blanks, colons or * ? [: choose another name, or set jail to 0"
			;;
	esac
}

# --- files

# fill DIRECTORY [COPIES [reload]]: writes flags there, and copies of the files that
# the user has named; the flags name the copies, relatively. `copies` there has
# "COPY<TAB>SOURCE" for each, be it there or not; COPIES is that of the running flags.
fill() {
	SERVICE_USER=$(id -u "$RUN_AS" 2>/dev/null)
	SERVICE_GROUPS=$(id -G "$RUN_AS" 2>/dev/null | sed 's/[0-9][0-9]*/-e g&/g')
	render_flags "$1/flags" "$RUN_DIR/data" && place_files "$@" || return 1
	check_room "$1"
	[ -z "$BAD" ]
}

place_files() {
	local dir="$1" before="$2" how="$3" base='' data control line flag name path whole key text

	config_get base main flags_file
	[ -z "$base" ] || base=$(dirname "$base")
	data=$(clean "$(whole_path "$(flag_values "$dir/flags" data-dir | tail -n 1)")")
	control=$(flag_values "$dir/flags" control | tail -n 1)
	[ -z "$control" ] || control=$(clean "$(dirname "$(whole_path "$control")")")
	BAD=
	(umask 077 && : >"$dir/copies" && : >"$dir/changed" && named_files "$dir/flags" >"$dir/named") || return 1
	while IFS="$TAB" read -r line flag name path; do
		whole=$(whole_path "$path")
		name=${name#=}
		PLACE=$whole
		key=$(echo "$flag" | tr - _)
		case "$whole" in
			/*) ;;
			*)
				bad "$key${name:+ $name}: '$path' is not a whole path, such as /etc/smol-mtproxy/$path"
				continue
				;;
		esac
		case "$flag" in
			data-dir) [ "$data" = "$RUN_DIR/data" ] || check_directory "$key" "$data" ;;
			control) lies_in "$whole" "$data" || check_directory "$key" "$control" ;;
			*) place_file "$key${name:+ $name}" ;;
		esac
		[ "$PLACE" != "$path" ] || continue
		if text=$(quoted "${name:+$name=}$PLACE"); then
			printf '%s\t%s\n' "$line" "--$flag $text" >>"$dir/changed"
		else
			bad "$key: '$PLACE' holds both kinds of quotes: choose another name"
		fi
	done <"$dir/named"
	place_certificates
	check_sites
	change_lines "$dir"
	rm -f "$dir/named" "$dir/changed"
	[ -z "$BAD" ]
}

# Those of WEB hosts stand among other options of their lines, two in each.
place_certificates() {
	local line value part left text number=0

	read_flags 'is("web") { print NR "\t" value }' "$dir/flags" >"$dir/named" || return 1
	while IFS="$TAB" read -r line value; do
		number=$((number + 1))
		text=
		left=$value,
		while [ -n "$left" ]; do
			part=${left%%,*}
			left=${left#*,}
			case "$part" in
				cert=?* | key=?*) part=${part%%=*}=$(place_certificate "${part#*=}" "web-${part%%=*}-$number") || BAD=1 ;;
			esac
			text="$text${text:+,}$part"
		done
		[ "$text" != "$value" ] || continue
		printf '%s\t%s\n' "$line" "--web $(quoted "$text")" >>"$dir/changed"
	done <"$dir/named"
}

# place_certificate FILE COPY: the copy's name, or why there is none.
place_certificate() {
	local flag="$2" whole PLACE BAD=

	whole=$(whole_path "$1")
	PLACE=$whole
	case "$whole" in
		/*) place_file web ;;
		*) bad "web: '$1' is not a whole path, such as /etc/smol-mtproxy/$1" ;;
	esac
	echo "$PLACE"
	[ -z "$BAD" ]
}

# site_directories FLAGS: those whose files are shown at WEB hosts, one a line.
site_directories() {
	read_flags '
		!is("web-site") { next }
		{ at = index(value, "="); if (at && !index(substr(value, 1, at), "/")) value = substr(value, at + 1) }
		!index(value, "://") { print value }
	' "$1"
}

# What root shows a jail must not be of the service's choice. Of their files none is
# copied: there may be many.
check_sites() {
	local path

	site_directories "$dir/flags" >"$dir/named"
	while read -r path; do
		case "$path" in
			/*) check_directory web_site "$(clean "$path")" ;;
			*) bad "web_site: '$path' is not a whole path, such as /www/$path" ;;
		esac
	done <"$dir/named"
}

# named_files FLAGS: "LINE<TAB>FLAG<TAB>=NAME<TAB>FILE" of each flag that names a
# file; NAME is a table's, with a = as `read` skips what is empty.
named_files() {
	read_flags "
		BEGIN { split(\"$FILE_FLAGS\", list, \" \"); for (i in list) names[list[i]] = 1 }
		!/$(echo "$FILE_FLAGS" | tr ' ' '|')/ || !understood(\$0) { next }
		!(flag in names) || index(value, \"://\") { next }
		flag != \"table\" { print NR \"\\t\" flag \"\\t=\\t\" value; next }
		{ at = index(value, \"=\") }
		at && at < length(value) {
			print NR \"\\t\" flag \"\\t=\" substr(value, 1, at - 1) \"\\t\" substr(value, at + 1)
		}
	" "$1"
}

# change_lines DIRECTORY: the flags with the lines that `changed` has.
change_lines() {
	[ -s "$1/changed" ] || return 0
	awk '
		NR == FNR { number = $0; sub(/\t.*/, "", number); text[number] = substr($0, length(number) + 2); next }
		{ print FNR in text ? text[FNR] : $0 }
	' "$1/changed" "$1/flags" >"$1/named" && cat "$1/named" >"$1/flags"
}

# A name of the user's flags file is relative to that.
whole_path() {
	case "$1" in
		/* | '') printf '%s\n' "$1" ;;
		*) printf '%s\n' "${base:+$base/}$1" ;;
	esac
}

# place_file WHAT: sets PLACE for the file $whole of $flag, with what is local to
# place_files: a copy's name, or its own where the service can write, and so reads
# it itself.
place_file() {
	local copy="$flag" absent=

	# In a directory like /tmp it may be anybody's a moment later.
	if leaders "$whole" | grep -qx absent; then
		absent=1
	elif is_the_services "$whole" any; then
		lies_in "$whole" "$data" || lies_in "$whole" "$control" ||
			bad "$1: others than root can say what '$whole' leads to, so it is not read: put it elsewhere, such as into /etc/smol-mtproxy, or where data_dir is, by that name"
		return
	fi
	case "$flag" in
		# Keys are root's own everywhere.
		link-* | web-*) ;;
		*) ! lies_in "$whole" "$data" && ! lies_in "$whole" "$control" || return 0 ;;
	esac
	[ "$flag" != table ] || copy=$(name_of_table)
	PLACE=$copy
	printf '%s\t%s\n' "$copy" "$whole" >>"$dir/copies"
	[ -n "$absent" ] || ! copy_file "$whole" "$dir/$copy" || return 0
	case "$flag" in
		link-* | web-*) bad "$1: cannot read '$whole': put the file there, or mend the path" ;;
		table) table_is_missing "$1" ;;
		*) list_is_missing "$1" ;;
	esac
}

copy_file() {
	[ -f "$1" ] && (umask 027 && head -c "$MOST_BYTES" "$1" >"$2") 2>/dev/null && return
	rm -f "$2"
	return 1
}

# The program knows a table again by its file: a source keeps the number of its copy.
name_of_table() {
	local number=1 old source

	while IFS="$TAB" read -r old source; do
		case "$old" in
			table-*) [ "$source" != "$whole" ] || { echo "$old"; return; } ;;
		esac
	done <<-END
		$(cat "$dir/copies" "${before:-/dev/null}" 2>/dev/null)
	END
	while cat "$dir/copies" "${before:-/dev/null}" 2>/dev/null | grep -q "^table-$number$TAB"; do
		number=$((number + 1))
	done
	echo "table-$number"
}

# As the program has it: one that is not there yet is empty, if it can be made; who
# is banned by one that was there must not come in.
table_is_missing() {
	if [ -e "$whole" ]; then
		bad "$1: cannot read '$whole': put its lines into a text file"
	elif [ ! -d "$(dirname "$whole")" ]; then
		bad "$1: '$whole' cannot be read, its folder is not there: mend the path, or make it"
	elif [ "$how" = reload ] && [ -s "$RUN_DIR/$PLACE" ]; then
		bad "$1: '$whole' is gone: put it back, or make an empty file to have nobody in it"
	else
		complain "$1: it is empty, as '$whole' is not there: write it, then /etc/init.d/smol-mtproxy reload" notice
		# Else the program would say it too, of a file that is nobody's to write.
		(umask 027 && : >"$dir/$PLACE")
	fi
}

# The program goes on with what it had.
list_is_missing() {
	if [ -n "$before" ] && grep -qxF "$PLACE$TAB$whole" "$before" 2>/dev/null &&
		copy_file "$RUN_DIR/$PLACE" "$dir/$PLACE"; then
		complain "$1: cannot read '$whole', so its last copy stays: put it back, then /etc/init.d/smol-mtproxy reload"
	else
		complain "$1: cannot read '$whole': write it, then /etc/init.d/smol-mtproxy reload"
	fi
}
