# shellcheck shell=ash disable=SC2034
# UCI section "main" -> the one flags file of smol-mtproxy. Sourced by the init
# script, after /lib/functions.sh.

# --- from src/config/flags/table.rs, by `make generate`
FLAG_LISTS='listen secret tls_domain web web_listen web_site dc ws link link_listen policy table'
FLAG_TEXTS='link_name sni_salt proxy_protocol fronting fronting_to_any_site fronting_proxy_protocol time_skew tls_records answer_time web_acme route via tag external_ip telegram_secret telegram_config telegram_config_v6 ws_sni ws_ca cloudflare_zone cloudflare_worker upstream role link_ca link_cert link_key link_refuse link_psk link_plain_on_public link_sni link_alpn replay_cache filter_server_errors flood_limit reset data_dir control log_level log_format log_addresses self_test metrics status_public'
FLAG_NUMBERS='handshake_timeout idle_timeout send_timeout refresh ws_spare dc_connections clients_per_connection link_wait link_connections max_handshakes max_clients hibernate'
# Each has a function of its own.
OWN_KEYS='allow buffers'
# Flags that name a file or a directory; those of web and web-site stand among other words.
FILE_FLAGS='telegram-secret telegram-config telegram-config-v6 ws-ca link-ca link-cert link-key link-refuse link-psk table data-dir control'
# --- as far as that
# What is for the init script.
OTHER_KEYS='enabled flags_file firewall_zone nofile jail'

# Reads /etc/config/smol-mtproxy, noting the keys so that a misspelt one can be
# named.
# shellcheck disable=SC2317
load_config() {
	SEEN_KEYS=
	option_cb() { SEEN_KEYS="$SEEN_KEYS $1"; }
	list_cb() { SEEN_KEYS="$SEEN_KEYS $1"; }
	config_load smol-mtproxy
	reset_cb
}

# render_flags FILE DATA_DIR: writes FILE; fails if a value is bad, after every bad
# value was logged.
render_flags() {
	local file="$1" source

	BAD=
	check_whole
	check_own_keys
	config_get source main flags_file
	(umask 027 && : >"$file") || return 1
	if [ -n "$source" ]; then
		copy_flags "$source" >>"$file"
	else
		render_keys >>"$file"
	fi
	# What is missing in half a file is no fault of the user's.
	check_room "${file%/*}"
	[ -n "$BAD" ] || check_secret "$file"
	[ -z "$BAD" ] || return 1
	# In memory, unless the user says otherwise.
	if [ -n "$(flag_values "$file" data-dir)" ]; then
		spare_flash "$file"
	else
		echo "--data-dir $2" >>"$file"
	fi
}

# What follows a mistake is not there for config_load, which says nothing of it.
check_whole() {
	local problem kind

	if ! problem=$(uci show smol-mtproxy 2>&1 >/dev/null); then
		problem=${problem##*uci: }
		bad "uci cannot read it: ${problem:-it was ended, is there memory left?}; mend that, or put the file back"
		return
	fi
	config_get kind main TYPE
	[ -n "$kind" ] || bad "it has no section 'main': begin it with the line: config proxy 'main'"
}

# check_room DIRECTORY: the program might take the half of what did not fit.
check_room() {
	{ echo room >"$1/room" && [ -s "$1/room" ] && rm "$1/room"; } 2>/dev/null ||
		bad "no room for flags and copies in ${1%/*}: free some memory"
}

# spare_flash FLAGS: no handshake is written to a directory that may be on flash,
# unless the user says keep.
spare_flash() {
	local number

	number=$(flag_values "$1" replay-cache | tail -n 1)
	case "$number" in
		'') echo "--replay-cache forget" >>"$1" ;;
		*[!0-9]*) ;;
		*)
			# shellcheck disable=SC2016
			read_flags '{ print is("replay-cache") ? "--replay-cache " value ",forget" : $0 }' "$1" >"$1.spared" &&
				cat "$1.spared" >"$1"
			rm -f "$1.spared"
			;;
	esac
}

# flag_values FILE FLAG: the values that FILE gives to --FLAG, one a line,
# without quotes and comments.
flag_values() {
	read_flags "is(\"$2\") { print value }" "$1"
}

# read_flags RULES FILE: awk, where is(NAME) tells whether the line is one of that
# flag, whose value is in `value` then. All spellings that the program takes
# (src/config/file.rs): --flag V, flag V, flag = "V" # comment; blanks are
# Unicode's.
read_flags() {
	awk "$LINE_READER$1" "$2"
}

# busybox awk counts bytes.
# shellcheck disable=SC2016
LINE_READER='
BEGIN {
	wides = split("\302\205 \302\240 \341\232\200 \342\200\200 \342\200\201 \342\200\202 \342\200\203 " \
		"\342\200\204 \342\200\205 \342\200\206 \342\200\207 \342\200\210 \342\200\211 \342\200\212 " \
		"\342\200\250 \342\200\251 \342\200\257 \342\201\237 \343\200\200", wide, " ")
}

# The bytes of the blank that text begins with; 0: it begins with none.
function blank(text,    i) {
	if (text == "") return 0
	if (index(" \t\r\v\f", substr(text, 1, 1))) return 1
	if (!index("\302\341\342\343", substr(text, 1, 1))) return 0
	for (i = 1; i <= wides; i++) if (index(text, wide[i]) == 1) return length(wide[i])
	return 0
}

# Those that it ends with.
function blank_end(text,    i) {
	if (text == "") return 0
	if (index(" \t\r\v\f", substr(text, length(text)))) return 1
	for (i = 2; i <= 3; i++)
		if (length(text) >= i && blank(substr(text, length(text) - i + 1)) == i) return i
	return 0
}

function left(text,    n) {
	while (n = blank(text)) text = substr(text, n + 1)
	return text
}

function right(text,    n) {
	while (n = blank_end(text)) text = substr(text, 1, length(text) - n)
	return text
}

# Without a comment.
function bare(text,    at, from) {
	from = 1
	while (at = index(substr(text, from), "#")) {
		at += from - 1
		if (at == 1 || blank_end(substr(text, 1, at - 1))) return right(substr(text, 1, at - 1))
		from = at + 1
	}
	return right(text)
}

# Whether the program would take it as a flag and its value.
function understood(line,    end, after, quote) {
	flag = value = ""
	line = right(left(line))
	while (index(line, "\357\273\277") == 1) line = substr(line, 4)
	if (line == "" || substr(line, 1, 1) == "#") return 0
	for (end = 1; end <= length(line) && substr(line, end, 1) != "="; end++)
		if (blank(substr(line, end, 3))) break
	flag = substr(line, 1, end - 1)
	sub(/^--/, "", flag)
	line = left(substr(line, end))
	if (substr(line, 1, 1) == "=") line = left(substr(line, 2))
	quote = substr(line, 1, 1)
	if (quote != "\"" && quote != "\047") {
		value = bare(line)
		return value != ""
	}
	line = substr(line, 2)
	end = index(line, quote)
	after = left(substr(line, end + 1))
	if (!end || after != "" && substr(after, 1, 1) != "#") return 0
	value = substr(line, 1, end - 1)
	return value != ""
}

# Most lines are secrets, and need no closer look.
function is(name) { return index($0, name) && understood($0) && flag == name }
'

# complain TEXT [LEVEL]: in the log, and to whoever calls; in one line, whatever a
# value holds.
complain() {
	local text="$1"

	case "$text" in
		*[[:cntrl:]]*) text=$(printf '%s' "$text" | tr '\001-\037\177' ' ') ;;
	esac
	logger ${ALOUD:+-s} -t smol-mtproxy -p "daemon.${2:-err}" "/etc/config/smol-mtproxy: $text"
}

# --- one key at a time; all bad ones are named before giving up

copy_flags() {
	case "$1" in
		/*) ;;
		*)
			bad "flags_file: '$1' is not a whole path, such as /etc/smol-mtproxy/$1"
			return
			;;
	esac
	if [ ! -f "$1" ] || [ ! -r "$1" ]; then
		bad "flags_file: cannot read '$1'; create it or remove the option"
	elif can_write "$1"; then
		# It says what root copies.
		bad "flags_file: the user $RUN_AS can write '$1': give it to root, in a directory of root's, such as /etc/smol-mtproxy"
	else
		# A last line without its end must not run into what follows it.
		head -c "$MOST_BYTES" "$1" | awk 1
	fi
}

render_keys() {
	local key KEY='' FLAG=''

	warn_unknown_keys
	for key in $FLAG_LISTS; do
		render_list "$key"
	done
	for key in $FLAG_TEXTS; do
		render_option "$key" render_text
	done
	for key in $FLAG_NUMBERS; do
		render_option "$key" render_number
	done
	render_option allow render_allow
	render_option buffers render_size
}

# A list, or a lone option of that name.
render_list() {
	local count

	config_get count main "${1}_LENGTH"
	if [ -n "$count" ]; then
		config_list_foreach main "$1" render_text "$1"
	else
		render_option "$1" render_text
	fi
}

# render_option KEY FUNCTION
render_option() {
	local value

	config_get value main "$1"
	[ -z "$value" ] || "$2" "$value" "$1"
}

render_text() {
	local text="$1"

	case "$1" in
		*[[:cntrl:]]*)
			bad "$2: a value may not hold line breaks or control characters"
			return
			;;
	esac
	# Forks are slow on routers, and secrets are many.
	case "$1" in
		=* | *[\"\'\#[:blank:]]*)
			if ! text=$(quoted "$1"); then
				bad "$2: a value that needs quotes may not hold both kinds"
				return
			fi
			;;
	esac
	[ "$2" = "$KEY" ] || FLAG=$(echo "$2" | tr _ -)
	KEY=$2
	printf -- '--%s %s\n' "$FLAG" "$text"
}

# quoted VALUE: as a line of flags holds it; fails if no line can.
quoted() {
	local quote=

	case "$1" in
		# What the flags file would read otherwise: quotes, comments, blanks.
		[\"\'=\#]* | *[[:blank:]]\#* | [[:blank:]]* | *[[:blank:]]) quote='"' ;;
	esac
	case "$quote$1" in
		\"*\'*\"* | \"*\"*\'*) return 1 ;;
		\"*\"*) quote="'" ;;
	esac
	printf '%s\n' "$quote$1$quote"
}

render_number() {
	case "$1" in
		*[!0-9]*) bad "$2: '$1' is not a whole number" ;;
		*) render_text "$@" ;;
	esac
}

render_size() {
	local number="${1%[KMGkmg]}" least

	case "$number" in
		'' | *[!0-9]*)
			bad "$2: '$1' is not a size such as 2048K or 2M"
			return
			;;
	esac
	case "$1" in
		*[Kk]) least=1024 ;;
		*[MGmg]) least=1 ;;
		*) least=1048576 ;;
	esac
	# More digits than the shell can count are for the program to refuse.
	if [ "$number" -lt "$least" ] 2>/dev/null; then
		bad "$2: '$1' is too small: a packet of 1M must fit, so give at least 1M"
	else
		render_text "$@"
	fi
}

# Both 'dd,tls' and a list of the names.
render_allow() {
	render_text "$(echo "$1" | tr -s ' ' ',')" "$2"
}

# Without a secret the program makes one and keeps it in the data directory; in
# memory, it would be lost at the next boot.
check_secret() {
	# A back has no clients.
	[ "$(flag_values "$1" role)" != back ] || return 0
	[ -n "$(flag_values "$1" secret)$(flag_values "$1" data-dir)" ] && return
	flag_values "$1" listen | grep -q ,secret= ||
		bad 'secret: none is set; see "secret" in doc/routers.md, or reinstall the package to have one made'
}

warn_unknown_keys() {
	local key

	for key in $SEEN_KEYS; do
		case " $FLAG_LISTS $FLAG_TEXTS $FLAG_NUMBERS $OWN_KEYS $OTHER_KEYS " in
			*" $key "*) ;;
			*) complain "$key: unknown key, ignored" ;;
		esac
	done
}

bad() {
	BAD=1
	complain "$1"
}
