#!/bin/sh
# The init script, run by the shell of routers
# (busybox ash) against a recorder of procd's calls.
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/service.sh"

default_config_starts() {
	cp "$source_dir/smol-mtproxy.config" "$work/config"
	echo "	list secret 'dd00112233445566778899aabbccddeeff'" >>"$work/config"
	service start || return 1
	file_is "$work/run/flags" <<-END
		--listen 8443
		--secret dd00112233445566778899aabbccddeeff
		--data-dir $work/run/data
	END
	file_is "$work/calls" <<-END
		procd_open_service [smol-mtproxy]
		chown [-h] [root:smol-mtproxy] [$work/run]
		chown [-h] [smol-mtproxy:smol-mtproxy] [$work/run/data]
		chown [-h] [root:smol-mtproxy] [$work/run/next] [$work/run/next/copies] [$work/run/next/flags]
		procd_open_instance
		procd_set_param [command] [$work/smol-mtproxy] [run] [--config] [$work/run/flags]
		procd_set_param [file] [$work/run/flags]
		procd_set_param [reload_signal] [HUP]
		procd_set_param [respawn]
		procd_set_param [term_timeout] [15]
		procd_set_param [limits] [nofile=65536 65536]
		procd_set_param [stdout] [1]
		procd_set_param [stderr] [1]
		procd_set_param [user] [smol-mtproxy]
		procd_set_param [group] [smol-mtproxy]
		procd_set_param [no_new_privs] [1]
		procd_open_data
		json_add_array [firewall]
		json_add_object []
		json_add_string [type] [rule]
		json_add_string [name] [smol-mtproxy-8443]
		json_add_string [src] [wan]
		json_add_string [proto] [tcp]
		json_add_string [dest_port] [8443]
		json_add_string [target] [ACCEPT]
		json_close_object
		json_close_array
		procd_close_data
		procd_close_instance
		procd_add_reload_trigger [smol-mtproxy]
		procd_close_service [set]
		procd_set_config_changed [firewall]
	END
}

the_first_start_names_the_link_command() {
	fresh
	: >"$work/first_start"
	printf '\t%s\n' "option max_clients 'many'" >>"$work/config"
	service start && fail 'started'
	not_called 'logger [-t] [smol-mtproxy] [-p] [daemon.notice]'
	fresh_config
	service start || return 1
	called_with logger '/etc/init.d/smol-mtproxy link shows its link'
	grep -q 00112233 "$work/calls" && fail 'the secret is in the log'
	service start || return 1
	not_called logger
}

disabled_starts_nothing() {
	fresh
	printf '\t%s\n' "option enabled '0'" >>"$work/config"
	service start || return 1
	not_called procd_open_instance
	called 'procd_close_service [set]'
	absent "$work/run/flags"
}

reload_renders_by_rename() {
	fresh
	service start || return 1
	before=$(stat -c %i "$work/run/flags")
	printf '\t%s\n' "option max_clients '7'" >>"$work/config"
	# A reader that holds the old file must keep seeing the old text whole.
	exec 3<"$work/run/flags"
	service reload || return 1
	equal '' "$(grep max-clients <&3)"
	exec 3<&-
	contains "$work/run/flags" '--max-clients 7'
	[ "$before" != "$(stat -c %i "$work/run/flags")" ] || fail 'written in place'
	absent "$work/run/flags.new"
	called 'procd_set_param [reload_signal] [HUP]'
	called "procd_set_param [file] [$work/run/flags]"
}

reload_of_a_bad_value_changes_nothing() {
	fresh
	service start || return 1
	cp "$work/run/flags" "$work/before"
	printf '\t%s\n' "option max_clients 'many'" >>"$work/config"
	service reload && fail 'reload succeeded'
	file_is "$work/run/flags" <"$work/before"
	not_called procd_open_service
	not_called procd_kill
	called_with logger 'not reloaded; the running configuration stays'
}

reload_after_disabling_stops() {
	fresh
	service start || return 1
	printf '\t%s\n' "option enabled '0'" >>"$work/config"
	service reload || return 1
	called 'procd_close_service [set]'
	not_called procd_open_instance
}

a_jail_where_there_is_one() {
	fresh
	install_ujail 0
	printf '\t%s\n' "list listen '0.0.0.0:443'" "option data_dir '$work/kept'" >>"$work/config"
	service start || return 1
	called 'procd_add_jail [smol-mtproxy] [procfs] [ronly]'
	called "procd_set_param [capabilities] [$source_dir/smol-mtproxy.capabilities.json]"
	called "procd_add_jail_mount [$work/run]"
	called "procd_add_jail_mount_rw [$work/kept]"
	called 'procd_set_param [user] [smol-mtproxy]'
	contains "$work/ujail.calls" "-n smol-mtproxy-trial -r /etc/hosts -- $work/smol-mtproxy secret"
	printf '\t%s\n' "option jail '0'" >>"$work/config"
	service start || return 1
	not_called procd_add_jail
}

the_jail_lets_ctl_have_its_socket() {
	install_ujail 0
	printf '\t%s\n' "option control '$work/sockets/ctl'" >>"$work/config"
	service start || return 1
	[ -d "$work/sockets" ] || fail 'no directory for the socket'
	called "chown [-h] [smol-mtproxy:smol-mtproxy] [$work/sockets]"
	called "procd_add_jail_mount_rw [$work/sockets]"
	# One that is there is not taken away from its owner.
	service reload || return 1
	not_called "chown [-h] [smol-mtproxy:smol-mtproxy] [$work/sockets]"
	called "procd_add_jail_mount_rw [$work/sockets]"
}

a_jail_that_cannot_run_us_is_left_out() {
	fresh
	install_ujail 1
	service start || return 1
	not_called procd_add_jail
	not_called 'procd_set_param [capabilities]'
	called 'procd_set_param [user] [smol-mtproxy]'
}

low_ports_without_a_jail_are_bound_by_root() {
	fresh
	printf '\t%s\n' "list listen '[::]:443,name=v6'" >>"$work/config"
	service start || return 1
	not_called 'procd_set_param [user]'
	called 'procd_append_param [command] [--user] [smol-mtproxy]'
}

the_firewall_opens_each_port_once() {
	fresh
	printf '\t%s\n' "list listen '[::]:8443'" "list listen '192.168.1.1:2398,name=a:1'" \
		"list listen '10.8.0.1:2399,late'" "option firewall_zone 'guests'" >>"$work/config"
	service start || return 1
	contains "$work/run/flags" '--listen 10.8.0.1:2399,late'
	equal '2398 2399 8443 ' "$(opened_ports)"
	called 'json_add_string [src] [guests]'
	fresh
	service start || return 1
	not_called json_add_array
}

stopping_closes_the_firewall() {
	fresh
	service stop || return 1
	called 'procd_set_config_changed [firewall]'
}

for test in default_config_starts the_first_start_names_the_link_command disabled_starts_nothing \
	reload_renders_by_rename reload_of_a_bad_value_changes_nothing reload_after_disabling_stops \
	a_jail_where_there_is_one the_jail_lets_ctl_have_its_socket a_jail_that_cannot_run_us_is_left_out \
	low_ports_without_a_jail_are_bound_by_root the_firewall_opens_each_port_once stopping_closes_the_firewall; do
	fresh
	run_test "$test"
done
report init_script
