# shellcheck shell=ash disable=SC2034
# Puts the service's files where it can read them. Sourced by the init script,
# after render.sh.

prepare() {
	local path

	mkdir -p "$RUN_DIR/data" && chmod 0750 "$RUN_DIR" || return 1
	render_flags "$FLAGS" "$RUN_DIR/data" || return 1
	# shellcheck disable=SC2046
	chown "$RUN_AS:$RUN_AS" "$RUN_DIR" "$RUN_DIR/data" "$FLAGS" $(link_copies "$RUN_DIR")
	for path in "$(data_dir)" "$(control_dir)"; do
		[ -z "$path" ] || [ -d "$path" ] ||
			{ mkdir -p "$path" && chown "$RUN_AS:$RUN_AS" "$path"; } || return 1
	done
	PREPARED=1
}

data_dir() {
	flag_values "$FLAGS" data-dir | tail -n 1
}

# The directory of ctl's socket, if the user has chosen one.
control_dir() {
	local path

	path=$(flag_values "$FLAGS" control | tail -n 1)
	case "$path" in
		"$RUN_DIR"/*) ;;
		/*) dirname "$path" ;;
	esac
}
