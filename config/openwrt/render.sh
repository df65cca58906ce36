# shellcheck shell=ash disable=SC2034
# UCI section "main" -> the one flags file of smol-mtproxy. Sourced by the init
# script, after /lib/functions.sh.

FLAG_LISTS='listen secret tls_domain policy table dc link link_listen'
FLAG_TEXTS='fronting fronting_to_any_site fronting_proxy_protocol time_skew tls_records answer_time tag route external_ip link_name telegram_secret telegram_config telegram_config_v6 data_dir log_level metrics sni_salt proxy_protocol replay_cache filter_server_errors flood_limit reset control role link_ca link_cert link_key link_refuse link_psk link_plain_on_public link_sni link_alpn'
FLAG_NUMBERS='refresh dc_connections clients_per_connection max_clients handshake_timeout idle_timeout send_timeout hibernate max_handshakes link_wait link_connections'
# Files of the link, by flag.
LINK_FILES='link-ca link-cert link-key link-refuse link-psk'
# allow and buffers have a shape of their own; the rest is for the init script.
OTHER_KEYS='allow buffers enabled flags_file firewall_zone nofile jail'

# Reads /etc/config/smol-mtproxy, noting the keys so that a misspelt one can be
# named.
load_config() {
	SEEN_KEYS=
	option_cb() { SEEN_KEYS="$SEEN_KEYS $1"; }
	list_cb() { SEEN_KEYS="$SEEN_KEYS $1"; }
	config_load smol-mtproxy
	reset_cb
}

# render_flags FILE DATA_DIR: writes FILE whole or, when a value is bad, not at
# all; every bad value is logged. The new file is renamed over the old one, so
# that a reload never reads half of it.
render_flags() {
	local file="$1" data_dir="$2" dir="${1%/*}" source

	BAD=
	check_own_keys
	config_get source main flags_file
	drop_new "$file"
	(umask 077 && : >"$file.new") || return 1
	if [ -n "$source" ]; then
		copy_flags "$source" >>"$file.new"
	else
		render_keys >>"$file.new"
	fi
	[ -n "$BAD" ] || check_secret "$file.new"
	[ -n "$BAD" ] || copy_link_files "$file.new" "$dir" "$source"
	if [ -n "$BAD" ]; then
		drop_new "$file"
		return 1
	fi
	# In memory, unless the user says otherwise.
	if [ -n "$(flag_values "$file.new" data-dir)" ]; then
		spare_flash "$file.new"
	else
		echo "--data-dir $data_dir" >>"$file.new"
	fi
	keep_link_files "$dir"
	mv -f "$file.new" "$file"
}

# spare_flash FLAGS: no handshake is written to a directory that may be on flash,
# unless the user says keep.
spare_flash() {
	local number

	number=$(flag_values "$1" replay-cache | tail -n 1)
	case "$number" in
		'') echo "--replay-cache forget" >>"$1" ;;
		*[!0-9]*) ;;
		*) sed -i "s|^[[:space:]]*\(--\)\{0,1\}replay-cache[[:space:]=].*|--replay-cache $number,forget|" "$1" ;;
	esac
}

# What a rendering that failed or broke off has left.
drop_new() {
	local flag

	rm -f "$1.new"
	for flag in $LINK_FILES; do
		rm -f "${1%/*}/$flag.new"
	done
}

# copy_link_files FLAGS DIRECTORY SOURCE: the link's files come beside the flags
# that name them. There the service can read them, whoever owns the originals,
# and its jail shows them; a mount would go on showing a file that has since been
# replaced. Names are relative to SOURCE, the flags file of the user's own.
copy_link_files() {
	local flag path

	for flag in $LINK_FILES; do
		path=$(flag_values "$1" "$flag" | tail -n 1)
		case "$path" in
			'') continue ;;
			/*) ;;
			*)
				if [ -z "$3" ]; then
					bad "$(echo "$flag" | tr - _): '$path' is not a whole path, such as /etc/$path"
					continue
				fi
				path=$(dirname "$3")/$path
				;;
		esac
		if ! (umask 077 && cat "$path" >"$2/$flag.new") 2>/dev/null; then
			bad "$(echo "$flag" | tr - _): cannot read '$path'"
		fi
		sed -i "s|^[[:space:]]*\(--\)\{0,1\}$flag[[:space:]=].*|--$flag $2/$flag|" "$1"
	done
}

# Those that the flags name; no key stays that none names any more.
keep_link_files() {
	local flag

	for flag in $LINK_FILES; do
		if [ -e "$1/$flag.new" ]; then
			mv -f "$1/$flag.new" "$1/$flag"
		else
			rm -f "$1/$flag"
		fi
	done
}

# link_copies DIRECTORY: their paths.
link_copies() {
	local flag

	for flag in $LINK_FILES; do
		[ ! -e "$1/$flag" ] || echo "$1/$flag"
	done
}

# flag_values FILE FLAG: the values that FILE gives to --FLAG, one a line,
# without quotes and comments. All spellings: --flag V, flag V, flag = "V".
flag_values() {
	sed -n "s/^[[:space:]]*\(--\)\{0,1\}$2[[:space:]]*[[:space:]=][[:space:]]*//p" "$1" |
		sed -e 's/^"\([^"]*\)".*/\1/' -e t \
			-e "s/^'\([^']*\)'.*/\1/" -e t \
			-e 's/[[:space:]]#.*//' -e 's/[[:space:]]*$//'
}

complain() {
	logger -s -t smol-mtproxy -p daemon.err "/etc/config/smol-mtproxy: $1"
}

# --- one key at a time; all bad ones are named before giving up

copy_flags() {
	if [ -r "$1" ]; then
		# A last line without its end must not run into what follows it.
		awk 1 "$1"
	else
		bad "flags_file: cannot read '$1'; create it or remove the option"
	fi
}

render_keys() {
	local key

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
	local quote=

	case "$1" in
		*[[:cntrl:]]*)
			bad "$2: a value may not hold line breaks or control characters"
			return
			;;
		# What the flags file would read otherwise: quotes, comments, blanks.
		[\"\'=\#]* | *[[:blank:]]\#* | [[:blank:]]* | *[[:blank:]]) quote='"' ;;
	esac
	case "$quote$1" in
		\"*\'*\"* | \"*\"*\'*)
			bad "$2: a value that needs quotes may not hold both kinds"
			return
			;;
		\"*\"*) quote="'" ;;
	esac
	printf -- '--%s %s\n' "$(echo "$2" | tr _ -)" "$quote$1$quote"
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
		case " $FLAG_LISTS $FLAG_TEXTS $FLAG_NUMBERS $OTHER_KEYS " in
			*" $key "*) ;;
			*) complain "$key: unknown key, ignored" ;;
		esac
	done
}

bad() {
	BAD=1
	complain "$1"
}
