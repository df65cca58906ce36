#!/bin/sh
# What procd makes of starts, reloads and events: what goes on with a signal, what
# starts anew, what comes back. First, that the model of procd is none of ours.
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/service.sh"

# other_script LINE...: another script of the same service, whose instance is set
# by these lines.
other_script() {
	{
		echo USE_PROCD=1
		echo 'start_service() {'
		printf '\t%s\n' procd_open_instance "$@" procd_close_instance
		echo '}'
	} >"$work/other.init"
}

other() {
	: >"$work/calls"
	procd settles
	in_router "$ash" "$here/rc_common.sh" "$work/other.init" "$@"
}

# --- the model

a_reload_signal_swallows_all_else() {
	other_script 'procd_set_param command /bin/a' 'procd_set_param reload_signal HUP' \
		'procd_set_param limits nofile="1 1"'
	other start && other start
	became started unchanged
	other_script 'procd_set_param command /bin/b' 'procd_set_param reload_signal HUP' \
		'procd_set_param limits nofile="2 2"'
	other start
	became 'signalled 1'
	# What it has from before decides, not what it is told then.
	other_script 'procd_set_param command /bin/b'
	other start && other start
	became 'signalled 1' unchanged
	other_script 'procd_set_param command /bin/c'
	other start
	became restarted
}

procd_compares_sums_of_files() {
	other_script 'procd_set_param command /bin/a' "procd_set_param file $work/a $work/none" \
		'procd_open_data; json_add_string port 1; procd_close_data'
	echo 1 >"$work/a"
	other start && other start
	became started unchanged
	echo 2 >"$work/a"
	other start
	became restarted
	# The data is not what a service is started anew for.
	sed -i 's/port 1/port 2/' "$work/other.init"
	other start
	became unchanged
}

procd_leaves_out_what_it_does_not_know() {
	other_script 'procd_set_param command /bin/a' 'procd_add_jail_mount /early' 'procd_set_param user nobody_here' \
		'procd_set_param colour blue'
	other start
	equal command "$(ls "$work/procd/instances/instance1/config")"
}

procd_gives_up_after_five() {
	other_script 'procd_set_param command /bin/a' 'procd_set_param respawn'
	other start
	for _ in 1 2 3 4 5 6; do
		procd ends 1
		procd respawns
	done
	equal 'given up' "$(tail -n 1 "$work/procd/log")"
	equal 5 "$(grep -c 'again in 5 s' "$work/procd/log")"
	rm "$work/procd/log"
	# A long life forgets the short ones, but a set does not.
	other start
	procd ends 1
	became started 'given up'
	other start
	procd ends 3600
	became started 'again in 5 s'
}

a_jail_shows_the_file_of_its_start() {
	mkdir "$work/shared"
	echo 1 >"$work/a"
	echo 1 >"$work/shared/b"
	other_script 'procd_set_param command /bin/a' 'procd_add_jail jail procfs' \
		"procd_add_jail_mount $work/a:/etc/a $work/none" "procd_add_jail_mount_rw $work/shared"
	other start
	for file in a shared/b; do
		echo 2 >"$work/new"
		mv "$work/new" "$work/$file"
	done
	equal 1 "$(in_model jail_shows /etc/a)"
	equal 2 "$(in_model jail_shows "$work/shared/b")"
	in_model jail_shows "$work/none" && fail 'shows what is not there'
	in_model jail_may_write "$work/shared/b" || fail 'cannot be written'
	in_model jail_may_write /etc/a && fail 'can be written'
	other stop && other start
	equal 2 "$(in_model jail_shows /etc/a)"
	rm -r "$work/shared"
}

what_begins_dies_of_a_signal() {
	other_script 'procd_set_param command /bin/a' 'procd_set_param respawn 3600 30 0'
	other start
	procd send_signal smol-mtproxy '*' HUP
	procd send_signal smol-mtproxy '*' HUP
	procd respawns
	procd settles
	procd send_signal smol-mtproxy '*' HUP
	became started 'killed by signal 1' 'again in 30 s' 'signalled 1 somebody else' respawned 'signalled 1'
}

a_start_that_names_nothing_ends_what_runs() {
	other_script 'procd_set_param command /bin/a'
	other start
	: >"$work/procd/slow"
	sed -i 's/^start_service.*/& return 1/' "$work/other.init"
	# Nor does its status count.
	other start || fail 'the status is that of start_service'
	procd running || fail 'gone at once'
	procd gone
	procd running && fail 'still there'
	became started stopped
}

# --- the script: signal or start anew

a_new_key_is_a_signal() {
	service start || return 1
	uci_key "option max_clients '7'"
	service reload || return 1
	became started unchanged 'signalled 1'
	called 'procd_send_signal [smol-mtproxy] [*] [HUP]'
	# And so is no new key: the files that it names may be others.
	service reload || return 1
	became unchanged 'signalled 1'
	# A start of what runs takes the new flags over too.
	uci_key "option max_clients '8'"
	service start || return 1
	became unchanged 'signalled 1'
	# One that finds nothing new is none: it may follow a restart at once.
	service start || return 1
	became unchanged
}

# restarts KEY: and the next reload is a signal again.
restarts() {
	uci_key "$1"
	service reload || fail "$1: not reloaded"
	became restarted
	service reload || fail "$1: not reloaded"
	became unchanged 'signalled 1'
}

what_procd_must_set_up_anew_restarts() {
	install_ujail 0
	service start || return 1
	became started
	restarts "option nofile '5000'"
	equal '5000 5000' "$(sed -n 's/^nofile=//p' "$work/procd/instances/instance1/config/limits")"
	restarts "option data_dir '$work/kept'"
	restarts "option control '$work/sockets/ctl'"
	restarts "option jail '0'"
	restarts "list listen '443'"
}

another_role_restarts() {
	service start || return 1
	uci_key "option role 'back'"
	service reload || return 1
	became started stopped started
	service reload || return 1
	became unchanged 'signalled 1'
	# Not one that is refused.
	fresh_config
	uci_key "option max_clients 'many'"
	service reload && fail 'reloaded'
	equal '' "$(cat "$work/procd/log" 2>/dev/null)"
	fresh_config
	service reload || return 1
	became stopped started
}

enabled_0_stops() {
	service start || return 1
	uci_key "option enabled '0'"
	service reload || return 1
	became started stopped
	uci_key "option enabled '1'"
	service reload || return 1
	became started
}

nothing_that_begins_is_signalled() {
	service start || return 1
	procd ends 1
	became started 'again in 30 s'
	# One that waits is started, and reads the new flags then.
	service reload || return 1
	became started
	# One that is on its way out.
	: >"$work/procd/slow"
	service stop || return 1
	service reload || return 1
	procd gone
	became stopped
	procd running || fail 'not started again'
}

# It was set with a reload_signal.
an_instance_of_an_older_version() {
	other_script "procd_set_param command $work/smol-mtproxy" 'procd_set_param reload_signal HUP'
	other start
	mkdir "$work/run"
	: >"$work/run/flags"
	service reload || return 1
	became started 'signalled 1'
	service restart || return 1
	became stopped started
}

# It runs on where its flags were, and its jail shows them.
what_has_lost_its_directory_starts_anew() {
	service start || return 1
	rm -r "$work/run"
	uci_key "option max_clients 'many'"
	for action in reload start restart; do
		service "$action" && fail "$action: succeeded"
		called_with logger 'the running configuration stays'
	done
	became started
	fresh_config
	service reload || return 1
	became stopped started
	service reload || return 1
	became unchanged 'signalled 1'
	# One that is on its way out is told nothing of the kind.
	: >"$work/procd/slow"
	service stop
	uci_key "option max_clients 'many'"
	service start && fail 'started'
	not_called_with logger 'the running configuration stays'
	called procd_close_service
}

# --- the script: what is refused

what_is_refused_leaves_alone_what_runs() {
	service start || return 1
	became started
	cp "$work/run/flags" "$work/before"
	uci_key "option max_clients 'many'"
	for action in reload start restart; do
		service "$action" && fail "$action: succeeded"
		file_is "$work/run/flags" <"$work/before"
		equal '' "$(cat "$work/procd/log" 2>/dev/null)"
		not_called procd_close_service
		not_called procd_kill
		case "$action" in
			reload) said='not reloaded' ;;
			start) said='not started anew' ;;
			*) said='not restarted' ;;
		esac
		called_with logger "$said; the running configuration stays"
	done
	event config.change smol-mtproxy && fail 'reloaded by the event'
	event interface.update || return 1
	equal '' "$(cat "$work/procd/log" 2>/dev/null)"
}

# It comes back with the flags that were good.
what_is_refused_leaves_alone_what_waits() {
	service start || return 1
	procd ends 1
	uci_key "option max_clients 'many'"
	service reload && fail 'reloaded'
	service start && fail 'started'
	service restart && fail 'restarted'
	became started 'again in 30 s'
	procd respawns
	became respawned
	grep -q max-clients "$work/run/flags" && fail 'with other flags'
	fresh_config
	service reload || return 1
	became unchanged 'signalled 1'
}

# procd must hear of the triggers all the same.
a_refused_first_start_is_mended_by_a_reload() {
	uci_key "option max_clients 'many'"
	service start && fail 'started'
	event interface.up || return 1
	service reload && fail 'reloaded'
	not_called_with logger 'running configuration'
	service restart && fail 'restarted'
	equal '' "$(cat "$work/procd/log" 2>/dev/null)"
	fresh_config
	event config.change firewall || return 1
	equal '' "$(cat "$work/procd/log" 2>/dev/null)"
	event config.change smol-mtproxy || return 1
	became started
}

a_restart_is_one() {
	service start && service restart || return 1
	became started stopped started
	uci_key "option enabled '0'"
	service restart || return 1
	became stopped
}

# --- the script: ends and interfaces

no_number_of_ends_is_the_last() {
	service start || return 1
	for _ in 1 2 3 4 5 6 7 8 9; do
		procd ends 1
		procd respawns
	done
	equal 9 "$(grep -c 'again in 30 s' "$work/procd/log")"
	equal 9 "$(grep -c respawned "$work/procd/log")"
}

an_interface_that_comes_starts_it_at_once() {
	service start || return 1
	procd ends 1
	before=$(stat -c %i "$work/run/flags")
	event interface.update || return 1
	became started 'again in 30 s' spawned
	equal "$before" "$(stat -c %i "$work/run/flags")"
	not_called procd_close_service
	called 'ubus [call] [service] [state] [{ "name": "smol-mtproxy", "spawn": true }]'
}

an_interface_does_nothing_to_what_runs() {
	service start || return 1
	event interface.down && event interface.update || return 1
	became started
	not_called logger
}

an_interface_wakes_nothing_that_was_stopped() {
	service start && service stop || return 1
	became started stopped
	event interface.update || return 1
	# One that was on its way already.
	service reload interface || return 1
	not_called ubus
	uci_key "option enabled '0'"
	service start || return 1
	event interface.update || return 1
	not_called ubus
	equal '' "$(cat "$work/procd/log" 2>/dev/null)"
}

# --- the script: names in the jail

# replaces FILE TEXT: as netifd and dnsmasq do.
replaces() {
	echo "$2" >"$work/etc/new"
	mv "$work/etc/new" "$work/etc/$1"
}

names_are_looked_up_where_they_are_now() {
	install_ujail 0
	service start || return 1
	equal 'nameserver 127.0.0.1' "$(in_model jail_shows /etc/resolv.conf)"
	replaces resolv.conf 'nameserver 192.0.2.53'
	event interface.update || return 1
	equal 'nameserver 192.0.2.53' "$(in_model jail_shows /etc/resolv.conf)"
	# Away for a moment.
	rm "$work/etc/resolv.conf"
	event interface.update || return 1
	equal 'nameserver 192.0.2.53' "$(in_model jail_shows /etc/resolv.conf)"
	replaces resolv.conf 'nameserver 192.0.2.54'
	replaces hosts '192.0.2.1 telegram'
	service reload || return 1
	equal 'nameserver 192.0.2.54' "$(in_model jail_shows /etc/resolv.conf)"
	equal '192.0.2.1 telegram' "$(in_model jail_shows /etc/hosts)"
	became started unchanged 'signalled 1'
}

a_router_without_a_resolver_has_one_later() {
	install_ujail 0
	rm "$work/etc/resolv.conf"
	service start || return 1
	equal '' "$(in_model jail_shows /etc/resolv.conf)"
	replaces resolv.conf 'nameserver 192.0.2.53'
	event interface.update || return 1
	equal 'nameserver 192.0.2.53' "$(in_model jail_shows /etc/resolv.conf)"
}

the_jail_shows_the_flags_of_now() {
	install_ujail 0
	service start || return 1
	uci_key "option max_clients '7'"
	service reload || return 1
	in_model jail_shows "$work/run/flags" | grep -qx -e '--max-clients 7' || fail 'old flags'
	in_model jail_may_write "$work/run/flags" && fail 'it can write its flags'
	in_model jail_may_write "$work/run/data/x" || fail 'it cannot write its data'
}

# --- the script: the trial of the jail

trials() { grep -c . "$work/ujail.calls" 2>/dev/null; }

one_trial_a_program() {
	install_ujail 0
	service start && service reload && service reload || return 1
	equal 1 "$(trials)"
	# For want of memory, say.
	echo 1 >"$work/ujail.status"
	service reload || return 1
	equal 1 "$(trials)"
	became started unchanged 'signalled 1' unchanged 'signalled 1' unchanged 'signalled 1'
	cp "$work/smol-mtproxy" "$work/new"
	mv "$work/new" "$work/smol-mtproxy"
	service reload || return 1
	equal 2 "$(trials)"
	became restarted
	# Whoever starts it by hand has mended that.
	echo 0 >"$work/ujail.status"
	service restart || return 1
	equal 3 "$(trials)"
	called 'procd_add_jail [smol-mtproxy]'
}

no_trial_on_old_releases() {
	for release in 22.03.5 21.02-SNAPSHOT 19.07.10 17.01.7; do
		fresh
		install_ujail 0
		printf '%s\n' "DISTRIB_ID='OpenWrt'" "DISTRIB_RELEASE='$release'" >"$work/etc/openwrt_release"
		service start || return 1
		equal '' "$(trials)"
		not_called procd_add_jail
	done
	for release in 23.05.0 24.10.1 SNAPSHOT 4.3.7; do
		fresh
		install_ujail 0
		echo "DISTRIB_RELEASE=\"$release\"" >"$work/etc/openwrt_release"
		service start || return 1
		called 'procd_add_jail [smol-mtproxy]'
	done
}

# --- the script: the log

the_log_has_levels_and_no_second_time() {
	cat >>"$work/smol-mtproxy" <<-'END'
		echo "info $SMOL_MTPROXY_LOG"
		echo 'warn' >&2
	END
	service start || return 1
	procd logs >"$work/lines"
	contains "$work/lines" 'daemon.info info procd'
	contains "$work/lines" 'daemon.err warn'
}

# uci_key LINE: one more.
uci_key() { printf '\t%s\n' "$1" >>"$work/config"; }

for test in a_reload_signal_swallows_all_else procd_compares_sums_of_files \
	procd_leaves_out_what_it_does_not_know procd_gives_up_after_five a_jail_shows_the_file_of_its_start \
	what_begins_dies_of_a_signal a_start_that_names_nothing_ends_what_runs \
	a_new_key_is_a_signal what_procd_must_set_up_anew_restarts another_role_restarts enabled_0_stops \
	nothing_that_begins_is_signalled what_has_lost_its_directory_starts_anew an_instance_of_an_older_version \
	what_is_refused_leaves_alone_what_runs what_is_refused_leaves_alone_what_waits \
	a_refused_first_start_is_mended_by_a_reload a_restart_is_one \
	no_number_of_ends_is_the_last an_interface_that_comes_starts_it_at_once \
	an_interface_does_nothing_to_what_runs an_interface_wakes_nothing_that_was_stopped \
	names_are_looked_up_where_they_are_now a_router_without_a_resolver_has_one_later \
	the_jail_shows_the_flags_of_now one_trial_a_program no_trial_on_old_releases \
	the_log_has_levels_and_no_second_time; do
	fresh
	run_test "$test"
done
report reload
