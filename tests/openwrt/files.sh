#!/bin/sh
# The files that the flags name: copied for the service, checked with the program,
# and never by root where the service can plant a link.
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/service.sh"

etc=$work/own
# Debian's busybox has none.
ln -s "$(command -v flock)" "$work/applets/flock" 2>/dev/null

# config_with LINE…: the usual one and these.
config_with() {
	fresh_config
	printf '\t%s\n' "$@" >>"$work/config"
}

# replace FILE TEXT: as editors do.
replace() {
	echo "$2" >"$1.new" && mv "$1.new" "$1"
}

# state: all that the run directory holds, with times and contents.
state() {
	ls -lnR --full-time "$work/run" 2>&1
	find "$work/run" -type f -exec cat {} +
}

# placed: what the run directory holds, but for what the init script notes there.
placed() { ls "$work/run" | grep -vx -e shape -e trial -e resolv.conf -e hosts | tr '\n' ' '; }

tables_and_lists_are_copied() {
	config_with "list table 'banned=$etc/banned'" "list table 'a/b=$etc/friends'" \
		"option telegram_config '$etc/config'" "option telegram_secret 'https://example.com/secret'"
	service start || return 1
	contains "$work/run/flags" '--table banned=table-1'
	contains "$work/run/flags" '--table a/b=table-2'
	contains "$work/run/flags" '--telegram-config telegram-config'
	contains "$work/run/flags" '--telegram-secret https://example.com/secret'
	equal 192.0.2.1 "$(cat "$work/run/table-1")"
	equal 192.0.2.2 "$(cat "$work/run/table-2")"
	equal config "$(cat "$work/run/telegram-config")"
	for name in flags table-1 table-2 telegram-config; do
		equal 640 "$(stat -c %a "$work/run/$name")"
	done
	equal 600 "$(stat -c %a "$work/run/copies")"
	equal 'copies data flags lock table-1 table-2 telegram-config ' "$(placed)"
	not_called logger
}

an_edit_is_taken_by_a_reload() {
	config_with "list table 'banned=$etc/banned'" "option telegram_config '$etc/config'"
	service start || return 1
	replace "$etc/banned" 192.0.2.9
	replace "$etc/config" newer
	service reload || return 1
	equal 192.0.2.9 "$(cat "$work/run/table-1")"
	equal newer "$(cat "$work/run/telegram-config")"
	fresh_config
	service reload || return 1
	equal 'copies data flags lock ' "$(placed)"
}

# The program knows a table again by its file's name.
a_table_keeps_its_copys_name() {
	config_with "list table 'banned=$etc/banned'"
	service start || return 1
	config_with "list table 'friends=$etc/friends'" "list table 'banned=$etc/banned'" "list table 'also=$etc/friends'"
	service reload || return 1
	contains "$work/run/flags" '--table friends=table-2'
	contains "$work/run/flags" '--table banned=table-1'
	contains "$work/run/flags" '--table also=table-2'
	config_with "list table 'friends=$etc/friends'"
	service reload || return 1
	contains "$work/run/flags" '--table friends=table-2'
	absent "$work/run/table-1"
}

a_table_that_is_not_there() {
	config_with "list table 'banned=$etc/later'"
	service start || return 1
	contains "$work/run/flags" '--table banned=table-1'
	# So the program has nothing to say of it.
	equal 0 "$(stat -c %s "$work/run/table-1")"
	called "logger [-s] [-t] [smol-mtproxy] [-p] [daemon.notice] [/etc/config/smol-mtproxy: table banned: it is empty, as '$etc/later' is not there: write it"
	service reload || return 1
	echo 192.0.2.3 >"$etc/later"
	service reload || return 1
	equal 192.0.2.3 "$(cat "$work/run/table-1")"
	# Who is banned must not come in.
	rm "$etc/later"
	service reload && fail 'reloaded'
	called_with logger "table banned: '$etc/later' is gone: put it back"
	equal 192.0.2.3 "$(cat "$work/run/table-1")"
	# But at a start, one that has never been there is no reason to stay away.
	service stop
	service start || return 1
	equal 0 "$(stat -c %s "$work/run/table-1")"
	config_with "list table 'banned=$etc/none/banned'"
	service start && fail 'started'
	called_with logger "table banned: '$etc/none/banned' cannot be read, its folder is not there"
	config_with "list table 'banned=$etc'"
	service start && fail 'started'
	called_with logger "table banned: cannot read '$etc': put its lines into a text file"
}

no_two_tables_share_a_copy() {
	config_with "list table 'banned=$etc/later'" "list table 'friends=$etc/friends'" "list table 'more=$etc/later2'"
	service start || return 1
	contains "$work/run/flags" '--table banned=table-1'
	contains "$work/run/flags" '--table friends=table-2'
	contains "$work/run/flags" '--table more=table-3'
	equal 192.0.2.2 "$(cat "$work/run/table-2")"
	config_with "list table 'new=$etc/banned'" "list table 'banned=$etc/later'"
	service reload || return 1
	contains "$work/run/flags" '--table new=table-4'
	contains "$work/run/flags" '--table banned=table-1'
	equal 'copies data flags lock table-1 table-4 ' "$(placed)"
	equal '' "$(cat "$work/run/table-1")"
}

a_list_that_is_not_there() {
	config_with "option telegram_config '$etc/none'"
	service start || return 1
	called_with logger "telegram_config: cannot read '$etc/none': write it"
	config_with "option telegram_config '$etc/config'"
	service reload || return 1
	rm "$etc/config"
	service reload || return 1
	called_with logger "telegram_config: cannot read '$etc/config', so its last copy stays"
	equal config "$(cat "$work/run/telegram-config")"
	service reload || return 1
	equal config "$(cat "$work/run/telegram-config")"
}

# More than the program takes is for it to refuse.
no_copy_fills_the_memory() {
	head -c 6000000 /dev/zero >"$etc/big"
	config_with "list table 'banned=$etc/big'" "list table 'zero=/dev/zero'"
	service start && fail 'started'
	called_with logger "table zero: cannot read '/dev/zero'"
	config_with "list table 'banned=$etc/big'"
	service start || return 1
	equal 4194305 "$(stat -c %s "$work/run/table-1")"
}

what_lies_in_its_directories_is_not_copied() {
	mkdir -p "$work/kept" "$work/sockets"
	cp "$etc/banned" "$work/kept/banned"
	cp "$etc/friends" "$work/sockets/friends"
	config_with "option data_dir '$work/kept/'" "option control '$work/sockets/ctl'" \
		"list table 'banned=$work/kept/banned'" "list table 'friends=$work//sockets/./friends'" \
		"list table 'new=$work/kept/new'" "list table 'other=$work/kept/../own/banned'" \
		"list table 'more=$work/kept-too'"
	: >"$work/kept-too"
	service start || return 1
	contains "$work/run/flags" "--table banned=$work/kept/banned"
	contains "$work/run/flags" "--table friends=$work//sockets/./friends"
	contains "$work/run/flags" "--table new=$work/kept/new"
	contains "$work/run/flags" '--table other=table-1'
	contains "$work/run/flags" '--table more=table-2'
}

relative_paths_are_refused() {
	config_with "list table 'banned=banned'" "option telegram_config 'config'" "option data_dir 'data'" \
		"option control 'ctl'"
	service start && fail 'started'
	called_with logger "table banned: 'banned' is not a whole path, such as /etc/smol-mtproxy/banned"
	called_with logger "telegram_config: 'config' is not a whole path, such as /etc/smol-mtproxy/config"
	called_with logger "data_dir: 'data' is not a whole path, such as /etc/smol-mtproxy/data"
	called_with logger "control: 'ctl' is not a whole path, such as /etc/smol-mtproxy/ctl"
	absent "$work/run/flags"
	absent data
}

a_flags_files_own_are_beside_it() {
	mkdir "$etc/it's #1"
	cp "$etc/banned" "$etc/it's #1/b=1"
	printf '%s\r\n' 'secret dd00112233445566778899aabbccddeeff' 'table = "banned=b=1" # mine' \
		"--control run/ctl" "data-dir='data'" '--telegram-config	../config' >"$etc/it's #1/flags"
	uci_config "option flags_file '$etc/it'\\''s #1/flags'"
	service start || return 1
	tr -d '\r' <"$work/run/flags" >"$work/said"
	file_is "$work/said" <<-END
		secret dd00112233445566778899aabbccddeeff
		--table banned=table-1
		--control "$etc/it's #1/run/ctl"
		--data-dir "$etc/it's #1/data"
		--telegram-config telegram-config
		--replay-cache forget
	END
	equal 192.0.2.1 "$(cat "$work/run/table-1")"
	equal config "$(cat "$work/run/telegram-config")"
	[ -d "$etc/it's #1/data" ] || fail 'no data directory'
	[ -d "$etc/it's #1/run" ] || fail 'no directory for the socket'
}

# All that the program takes for a flag.
lines_are_read_as_the_program_does() {
	bom=$(printf '\357\273\277') wide=$(printf '\302\240\343\200\200\342\200\251')
	for line in "--telegram-config $etc/config" "telegram-config=$etc/config" "$bom--telegram-config $etc/config" \
		"$wide telegram-config${wide}=$wide$etc/config$wide" "telegram-config '$etc/config'$wide# mine" \
		"	--telegram-config	=	\"$etc/config\"#" "telegram-config $etc/config$wide#mine" "telegram-config = $etc/config #"; do
		printf '%s\n' 'secret dd00112233445566778899aabbccddeeff' "$line" >"$etc/flags"
		uci_config "option flags_file '$etc/flags'"
		service start || fail "refused: $line"
		contains "$work/run/flags" '--telegram-config telegram-config'
	done
	for line in "#telegram-config $etc/config" "telegram-config #$etc/config" "telegram-config '$etc/config' x" \
		"telegram-config '$etc/config" "--telegram-configs $etc/config" "-- telegram-config $etc/config"; do
		printf '%s\n' 'secret dd00112233445566778899aabbccddeeff' "$line" >"$etc/flags"
		service start || fail "refused: $line"
		contains "$work/run/flags" "$line"
	done
}

links_that_lead_round_are_refused() {
	ln -s round "$etc/round"
	for line in "list table 'a=$etc/round'" "option data_dir '$etc/round/data'" "option flags_file '$etc/round'"; do
		config_with "$line"
		service start && fail "started with $line"
		called 'logger [-s] [-t] [smol-mtproxy] [-p] [daemon.err]'
		not_called procd_open_instance
	done
}

paths_that_no_jail_can_show() {
	install_ujail 0
	for name in 'a b' 'a:b' 'a*'; do
		config_with "option data_dir '$work/$name'" "option control '$work/$name/c/ctl'"
		service start && fail "started with $name"
		called_with logger "data_dir: a jail cannot show '$work/$name', for its blanks, colons or * ? [: choose another name, or set jail to 0"
		absent "$work/$name"
		printf '\t%s\n' "option jail '0'" >>"$work/config"
		service start || fail "refused $name without a jail"
	done
	config_with "option control '$work/x y/ctl'"
	service start && fail 'started'
	called_with logger "control: a jail cannot show '$work/x y'"
}

places_that_are_not_to_be_given_away() {
	for line in "option data_dir '/'" "option control '/ctl'" "option data_dir '$work/run'" \
		"option data_dir '$work/run/data/deep'" "option control '$work/run/ctl'" "option data_dir '$work/run/./next/'"; do
		config_with "$line"
		service start && fail "started with $line"
		not_called procd_open_instance
	done
	called_with logger "data_dir: the service cannot write in $work/run: leave it out, or name another directory"
	config_with "option control '$work/run/data/deep/ctl'"
	service start || return 1
}

what_the_program_refuses_changes_nothing() {
	config_with "list table 'banned=$etc/banned'"
	service start || return 1
	before=$(state)
	replace "$etc/banned" '192.0.2'
	printf '\t%s\n' "option policy 'what'" >>"$work/config"
	for status in 64 65 77 78 66 69 71 1; do
		echo "$status smol-mtproxy: --policy what: no such rule" >"$work/refuses"
		service reload && fail "reloaded: $status"
		equal "$before" "$(state)"
		called_with logger '/etc/config/smol-mtproxy: --policy what: no such rule'
		not_called procd_open_service
	done
	for status in 64 65 77 78; do
		echo "$status smol-mtproxy: no" >"$work/refuses"
		service start && fail "started: $status"
		equal "$before" "$(state)"
		not_called procd_open_instance
	done
}

what_may_heal_is_started() {
	for status in 66 69 71; do
		service stop
		rm -rf "$work/run"
		echo "$status smol-mtproxy: not now" >"$work/refuses"
		service start || fail "not started: $status"
		contains "$work/run/flags" '--listen 0.0.0.0:8443'
		called_with logger 'not now'
		called procd_open_instance
	done
}

# A program that dies without a word, as for lack of memory.
silence_is_named() {
	echo '137 ' >"$work/refuses"
	service start || return 1
	called_with logger "$work/smol-mtproxy run --test has ended with 137"
}

the_user_reads_of_what_the_user_wrote() {
	config_with "list table 'banned=$etc/banned'"
	echo "65 smol-mtproxy: table $work/run/next/table-1:3: bad, not $work/run/next/table-10; $work/run/next/flags:7: --x" >"$work/refuses"
	service start && fail 'started'
	called_with logger "/etc/config/smol-mtproxy: table $etc/banned:3: bad, not $work/run/next/table-10; --x]"
	printf '%s\n' 'secret dd00112233445566778899aabbccddeeff' "table banned=banned" >"$etc/flags"
	uci_config "option flags_file '$etc/flags'"
	echo "78 smol-mtproxy: $work/run/next/flags:7: --x: $work/run/next/table-1" >"$work/refuses"
	service start && fail 'started'
	called_with logger "/etc/config/smol-mtproxy: $etc/flags:7: --x: $etc/banned]"
}

# The program is asked as the user that it will be.
the_program_is_asked_as_that_user() {
	sed -i "2i echo \"\$*\" >>$work/asked" "$work/smol-mtproxy"
	rm -f "$work/asked"
	service start || return 1
	contains "$work/asked" "run --test --user smol-mtproxy --config $work/run/next/flags"
}

# Each would take the place of what the others have just made.
reloads_at_once_do_not_mix() {
	config_with "list table 'banned=$etc/banned'"
	service start || return 1
	sed -i '2i sleep 0.1' "$work/smol-mtproxy"
	for _ in 1 2 3 4; do
		service reload &
		pids="${pids:-} $!"
	done
	for pid in $pids; do
		wait "$pid" || fail 'one has failed'
	done
	equal 'copies data flags lock table-1 ' "$(placed)"
	not_called logger
}

link_and_check_leave_the_service_alone() {
	config_with "list table 'banned=$etc/banned'"
	service start || return 1
	before=$(state)
	replace "$etc/banned" 192.0.2.7
	printf '\t%s\n' "option data_dir '$work/elsewhere'" >>"$work/config"
	cat >"$work/smol-mtproxy" <<-'END'
		#!/bin/sh
		[ "$*" != 'check --help' ] || exit 0
		echo "$1 $2"
		ls "${3%/*}"
		cat "$3" "${3%/*}/table-1"
		echo "$3:4: and ${3%/*}/table-1" >&2
		exit 3
	END
	for word in link check; do
		service "$word" >"$work/said" && fail 'it ended well'
		file_is "$work/said" <<-END
			$word --config
			copies
			flags
			table-1
			--listen 0.0.0.0:8443
			--secret dd00112233445566778899aabbccddeeff
			--table banned=table-1
			--data-dir $work/elsewhere
			--replay-cache forget
			192.0.2.7
		END
		equal "and $etc/banned" "$(cat "$work/stderr")"
		equal "$before" "$(state)"
		equal '' "$(ls "$work/tmp")"
		absent "$work/elsewhere"
		grep -vF '[-s]' "$work/calls" | grep -q . && fail "it has done something: $(cat "$work/calls")"
	done
	rm -rf "$work/run"
	service link >/dev/null
	absent "$work/run"
	printf '\t%s\n' "option max_clients 'many'" >>"$work/config"
	service link >"$work/said" && fail 'with a bad value'
	called_with logger "max_clients: 'many' is not a whole number"
	equal '' "$(cat "$work/said")"
	absent "$work/run"
	equal '' "$(ls "$work/tmp")"
}

# install_lite STATUS LINE: one that has no check, and ends a trial so.
install_lite() {
	cat >"$work/smol-mtproxy" <<-END
		#!/bin/sh
		case "\$*" in
			'run --test '*) [ -z '$2' ] || echo '$2' >&2; exit $1 ;;
		esac
		echo 'smol-mtproxy: check: not in this small build; and so on' >&2
		exit 69
	END
	chmod +x "$work/smol-mtproxy"
}

without_a_check_the_configuration_is_checked() {
	install_lite 0 ''
	said=$(service check) || fail 'a right configuration is none'
	case "$said" in
		'The configuration is right.'*'not checked by the lite package'*) ;;
		*) fail "it says '$said'" ;;
	esac
	equal '' "$(cat "$work/stderr")"
	install_lite 78 'line 1: no such flag'
	service check >"$work/stdout" && fail 'a wrong configuration is right'
	equal '' "$(cat "$work/stdout")"
	equal 'line 1: no such flag' "$(cat "$work/stderr")"
	# That is how the program says it.
	grep -q '"check: not in this small build' "$here/../../src/cli/mod.rs" ||
		fail 'the program says something else'
}

# --- as root, with real owners. The service's user here is one that has a group of
# its name.

THEM=daemon

# for_real WORDS [FILE]: with the real chown, and the functions of FILE.
for_real() {
	{
		echo "unset -f chown; . '$source_dir/smol-mtproxy.init'"
		[ -z "${2:-}" ] || cat "$2"
	} >"$work/init"
	chmod 711 "$work"
	(
		export INIT="$work/init" RUN_AS="$THEM"
		# shellcheck disable=SC2086
		service $1
	)
}

# as_them COMMANDS
as_them() { su -s /bin/sh "$THEM" -c "$1"; }

owner() { stat -c %U:%G "$1"; }

# victim: what root has and they may not get.
victim() {
	chmod 711 "$work"
	rm -rf "$work/victim" "$work/theirs" "$work/shared"
	mkdir -m 700 "$work/victim"
	echo SHADOW >"$work/victim/shadow"
	chmod 600 "$work/victim/shadow"
	chmod 755 "$etc"
	mkdir "$work/theirs"
	chown "$THEM:$THEM" "$work/theirs"
	mkdir -m 1777 "$work/shared"
	before=$(look_at_victim)
}

look_at_victim() {
	ls -dln --full-time "$work/victim"
	ls -lnAR --full-time "$work/victim"
}

victim_is_unharmed() {
	equal "$before" "$(look_at_victim)"
	! grep -rqs SHADOW "$work/run" || fail 'they can read it'
}

only_data_is_theirs() {
	victim
	config_with "list table 'banned=$etc/banned'" "option telegram_secret '$work/victim/shadow'"
	for_real start || return 1
	equal "root:$THEM" "$(owner "$work/run")"
	for name in flags table-1 telegram-secret; do
		equal "root:$THEM 640" "$(owner "$work/run/$name") $(stat -c %a "$work/run/$name")"
		as_them "cat $work/run/$name" >/dev/null || fail "they cannot read $name"
	done
	equal "root:$THEM 600" "$(owner "$work/run/copies") $(stat -c %a "$work/run/copies")"
	equal "$THEM:$THEM 700" "$(owner "$work/run/data") $(stat -c %a "$work/run/data")"
	as_them "touch $work/run/x || ln -s /etc $work/run/x || mv $work/run/data $work/run/x || echo x >>$work/run/flags" \
		2>/dev/null && fail 'they can write there'
	as_them "touch $work/run/data/x" || fail 'they cannot write their own'
}

# An older package gave them the run directory.
what_they_planted_before_an_upgrade() {
	for plant in "ln -s $work/victim data; ln -s $work/victim next; ln -s $work/victim/shadow flags" \
		"ln -s $work/victim flags; ln -s $work/victim/shadow copies; ln -s $work/victim/shadow table-1" \
		"mkdir flags next copies table-1; ln -s $work/victim next/x; ln -s $work/victim .hidden" \
		"mkdir .aside next next/next; touch next/x; chmod 0 next/next; ln -s $work/victim data" \
		"mkdir data; ln -s $work/victim data/next; ln -s $work/victim/shadow data/secret; echo x >flags"; do
		rm -rf "$work/run"
		victim
		mkdir -m 750 "$work/run"
		chown "$THEM:$THEM" "$work/run"
		as_them "cd $work/run && { $plant; }" || return 1
		config_with "list table 'banned=$etc/banned'"
		for_real start || fail "not started: $plant"
		victim_is_unharmed
		equal "root:$THEM 750" "$(owner "$work/run") $(stat -c %a "$work/run")"
		equal 'copies data flags lock table-1 ' "$(placed)"
		equal "$THEM:$THEM" "$(owner "$work/run/data")"
		[ ! -L "$work/run/data" ] || fail 'data is a link'
	done
}

# They own it until root has it, and go on.
what_they_do_while_an_upgrade_goes_on() {
	victim
	mkdir -m 750 "$work/run"
	chown "$THEM:$THEM" "$work/run"
	as_them "mkdir $work/run/data && touch $work/run/data/kept $work/run/..x"
	config_with "list table 'banned=$etc/banned'"
	cat >"$work/before" <<-END
		chown() {
			as_them "cd $work/run && chmod 777 . && ln -s $work/victim/shadow lock; ln -s $work/victim/shadow resolv.conf" 2>/dev/null
			command chown "\$@"
		}
		as_them() { su -s /bin/sh $THEM -c "\$1"; }
	END
	for_real start "$work/before" || return 1
	victim_is_unharmed
	equal "root:$THEM 750" "$(owner "$work/run") $(stat -c %a "$work/run")"
	equal 'copies data flags lock table-1 ' "$(placed)"
	[ -e "$work/run/data/kept" ] || fail 'their data is lost'
	equal "$work/run" "$(ls -d "$work/run"*)"
	equal '' "$(find "$work/run" -mindepth 1 -maxdepth 1 -name '.*')"
}

# A disk that they have filled keeps nothing of what they planted.
no_upgrade_is_half_done() {
	victim
	mkdir -m 750 "$work/run"
	chown "$THEM:$THEM" "$work/run"
	as_them "cd $work/run && touch x && ln -s $work/victim/shadow lock &&
		touch shape && ln -s $work/victim/shadow resolv.conf"
	for_real 'reload interface'
	echo 'mktemp() { return 1; }' >"$work/before"
	for_real start "$work/before" && fail 'started'
	for_real 'reload interface'
	victim_is_unharmed
	for_real start || return 1
	victim_is_unharmed
	equal 'copies data flags lock ' "$(placed)"
}

# What is not there yet may be theirs a moment later.
nothing_is_read_that_appears_in_a_shared_place() {
	victim
	config_with "list table 'a=$work/shared/a'" "option telegram_config '$work/shared/b'"
	cat >"$work/before" <<-END
		copy_file() {
			ln -s $work/victim/shadow $work/shared/a
			ln -s $work/victim/shadow $work/shared/b
			[ -f "\$1" ] && cat "\$1" >"\$2"
		}
	END
	for_real start "$work/before" || return 1
	victim_is_unharmed
}

# A way of links and names without an end is no reason to go it.
a_long_way_is_not_gone() {
	victim
	as_them "cd $work/theirs && for n in 1 2 3 4 5 6 7 8; do
			ln -s \$(head -c 400 /dev/zero | sed 's|.|d/../|g')x\$((n + 1)) x\$n; done; mkdir d"
	config_with "list table 'a=$work/theirs/x1'"
	sed "s|^changers() {\$|&\n\techo >>$work/way|" "$source_dir/paths.sh" >"$work/paths"
	: >"$work/way"
	echo ". $work/paths" >"$work/before"
	for_real start "$work/before" && fail 'started'
	called_with logger 'others than root can say'
	[ "$(wc -l <"$work/way")" -lt 1000 ] || fail "$(wc -l <"$work/way") steps"
}

# They may stop what runs as them.
a_test_that_never_ends_is_ended() {
	sed -i "2i case \"\$*\" in 'run --test'*) kill -STOP \$\$ ;; esac" "$work/smol-mtproxy"
	echo 'LONGEST_TEST=1' >"$work/before"
	for_real start "$work/before" || return 1
	called_with logger 'run --test has ended with 137, or not within 1 s'
	for_real reload "$work/before" && fail 'reloaded'
	called_with logger 'not reloaded; the running configuration stays'
}

links_in_their_directory_lead_root_nowhere() {
	victim
	as_them "cd $work/theirs && ln -s $work/victim/shadow banned && ln -s $work/victim dir && ln -s $work/victim data"
	ln -s "$work/theirs/banned" "$etc/way"
	ln -s "$work/theirs" "$etc/ways"
	# Its own name there is for the service alone to follow.
	config_with "option data_dir '$work/theirs'" "list table 'banned=$work/theirs/banned'" \
		"option telegram_config '$work/theirs/dir/shadow'" "option control '$work/theirs/dir/new/ctl'"
	for word in start reload link check; do
		for_real "$word" >/dev/null || fail "refused: $word"
		victim_is_unharmed
	done
	contains "$work/run/flags" "--table banned=$work/theirs/banned"
	for line in "list table 'banned=$etc/way'" "list table 'banned=$etc/ways/banned'" "option link_psk '$etc/way'" \
		"option telegram_config '$work/theirs/../theirs/banned'" "option telegram_secret '$etc/ways/dir/shadow'" \
		"option data_dir '$work/theirs/data'" "option data_dir '$etc/ways/dir/new'" "option control '$work/theirs/dir/ctl'" \
		"option flags_file '$work/theirs/banned'" "option flags_file '$etc/way'"; do
		config_with "$line"
		for word in start link; do
			for_real "$word" >"$work/said" 2>&1 && fail "$word taken: $line"
			grep -q SHADOW "$work/said" && fail "$word shows it: $line"
			victim_is_unharmed
		done
		called "logger [-s] [-t] [smol-mtproxy] [-p] [daemon.err]"
	done
}

# Some make the service a member of others, to read keys there.
groups_of_theirs_count() {
	victim
	mkdir -m 775 "$work/shared/certs"
	echo 192.0.2.4 >"$work/shared/certs/banned"
	chgrp 44 "$work/shared/certs"
	config_with "list table 'a=$work/shared/certs/banned'"
	for_real start || return 1
	# shellcheck disable=SC2016
	echo 'id() { if [ "$1" = -G ]; then echo 1 44; else command id "$@"; fi; }' >"$work/before"
	for_real reload "$work/before" && fail 'read'
	called_with logger 'table a: others than root can say'
}

# A flags file says what root copies.
a_flags_file_of_theirs_is_not_obeyed() {
	victim
	printf '%s\n' 'secret dd00112233445566778899aabbccddeeff' "table x=$work/victim/shadow" >"$etc/flags"
	uci_config "option flags_file '$etc/flags'"
	for mode in "$THEM:$THEM 600" "root:$THEM 660" 'root:root 666'; do
		chown "${mode% *}" "$etc/flags"
		chmod "${mode#* }" "$etc/flags"
		for_real start && fail "obeyed: $mode"
		called_with logger "flags_file: the user $THEM can write '$etc/flags'"
	done
	chown root:root "$etc/flags"
	chmod 600 "$etc/flags"
	for_real start || return 1
}

directories_are_made_only_where_root_alone_may() {
	victim
	as_them "ln -s $work/victim $work/shared/link; mkdir $work/shared/dir"
	for path in shared/link/new shared/dir/new theirs/new shared/dir/../../theirs/a/b; do
		config_with "option data_dir '$work/$path'"
		for_real start && fail "started with $path"
		victim_is_unharmed
		absent "$work/$path"
	done
	config_with "option data_dir '$work/shared/a/b'" "option control '$work/shared/c/ctl'"
	for_real start || return 1
	equal "root:root 755" "$(owner "$work/shared/a") $(stat -c %a "$work/shared/a")"
	equal "$THEM:$THEM 700" "$(owner "$work/shared/a/b") $(stat -c %a "$work/shared/a/b")"
	equal "$THEM:$THEM 755" "$(owner "$work/shared/c") $(stat -c %a "$work/shared/c")"
}

# In /tmp names are for everybody to take.
a_directory_of_theirs_in_a_shared_place() {
	victim
	config_with "option data_dir '$work/shared/a'" "option control '$work/shared/b/ctl'"
	for word in start reload restart; do
		for_real "$word" || fail "refused: $word"
		equal "$THEM:$THEM 700" "$(owner "$work/shared/a") $(stat -c %a "$work/shared/a")"
	done
	for theirs in "ln -s $work/victim a" "mkdir d && ln -s $work/victim d/a && ln -s d/a a"; do
		as_them "cd $work/shared && rm -rf a && $theirs"
		for_real reload && fail "taken: $theirs"
		called_with logger "data_dir: '$work/shared/a' lies in a directory where the user $THEM can write"
		victim_is_unharmed
	done
	rm "$work/shared/a"
	mkdir "$work/shared/a"
	chown bin:bin "$work/shared/a"
	for_real reload && fail 'another has taken the name'
	called_with logger "data_dir: '$work/shared/a' is another user's"
}

# /tmp and a directory that others than the service's user have.
files_in_shared_places() {
	victim
	echo 192.0.2.4 >"$work/shared/roots"
	as_them "ln -s $work/victim/shadow $work/shared/link"
	mkdir -m 755 "$work/shared/usb"
	echo 192.0.2.5 >"$work/shared/usb/banned"
	chown -R bin:bin "$work/shared/usb"
	config_with "list table 'a=$work/shared/roots'" "list table 'b=$work/shared/usb/banned'"
	for_real start || return 1
	equal 192.0.2.4 "$(cat "$work/run/table-1")"
	equal 192.0.2.5 "$(cat "$work/run/table-2")"
	mkdir -m 777 "$work/shared/open"
	as_them "ln -s $work/victim/shadow $work/shared/open/link"
	for path in link open/link; do
		config_with "list table 'a=$work/shared/$path'"
		for_real start && fail "read $path"
		called_with logger "table a: others than root can say what '$work/shared/$path' leads to"
		victim_is_unharmed
	done
}

a_missing_user_is_named() {
	THEM=nobody-here
	for_real start && fail 'started'
	called_with logger 'cannot give files to the user nobody-here: reinstall the package'
	not_called procd_open_instance
	# A group of that name alone is not enough.
	THEM=$(getent group | cut -d: -f1 | while read -r name; do id "$name" >/dev/null 2>&1 || { echo "$name"; break; }; done)
	rm -rf "$work/run"
	for_real start && fail 'started'
	called_with logger "cannot give files to the user $THEM: reinstall the package"
	THEM=daemon
}

tests='tables_and_lists_are_copied an_edit_is_taken_by_a_reload a_table_keeps_its_copys_name
	a_table_that_is_not_there no_two_tables_share_a_copy a_list_that_is_not_there no_copy_fills_the_memory
	what_lies_in_its_directories_is_not_copied relative_paths_are_refused a_flags_files_own_are_beside_it
	lines_are_read_as_the_program_does links_that_lead_round_are_refused paths_that_no_jail_can_show places_that_are_not_to_be_given_away
	what_the_program_refuses_changes_nothing what_may_heal_is_started silence_is_named
	the_user_reads_of_what_the_user_wrote the_program_is_asked_as_that_user
	reloads_at_once_do_not_mix link_and_check_leave_the_service_alone without_a_check_the_configuration_is_checked'
if [ "$(id -u)" = 0 ]; then
	tests="$tests only_data_is_theirs what_they_planted_before_an_upgrade
		what_they_do_while_an_upgrade_goes_on no_upgrade_is_half_done
		nothing_is_read_that_appears_in_a_shared_place a_long_way_is_not_gone a_test_that_never_ends_is_ended
		links_in_their_directory_lead_root_nowhere a_flags_file_of_theirs_is_not_obeyed groups_of_theirs_count
		directories_are_made_only_where_root_alone_may a_directory_of_theirs_in_a_shared_place files_in_shared_places a_missing_user_is_named"
else
	echo 'skipped, for want of root: what another user can plant'
fi
for test in $tests; do
	fresh
	rm -rf "$etc"
	mkdir "$etc"
	echo 192.0.2.1 >"$etc/banned"
	echo 192.0.2.2 >"$etc/friends"
	echo config >"$etc/config"
	run_test "$test"
done
report files
