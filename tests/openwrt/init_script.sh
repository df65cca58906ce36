#!/bin/sh
# The init script, run by the shell of routers (busybox ash) against a model of
# procd: what it tells procd and the firewall, and its commands.
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
		procd_open_service [smol-mtproxy] [$source_dir/smol-mtproxy.init]
		ubus [call] [service] [list] [{ "name": "smol-mtproxy" }]
		chown [-h] [root:smol-mtproxy] [$work/run]
		chown [-h] [smol-mtproxy:smol-mtproxy] [$work/run/data]
		chown [-h] [root:smol-mtproxy] [$work/run/next] [$work/run/next/copies] [$work/run/next/flags]
		procd_open_instance
		procd_set_param [command] [$work/smol-mtproxy] [run] [--config] [$work/run/flags]
		procd_set_param [env] [SMOL_MTPROXY_LOG=procd]
		procd_set_param [respawn] [3600] [30] [0]
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
		procd_add_raw_trigger [interface.*] [2000] [/etc/init.d/smol-mtproxy] [reload] [interface]
		procd_close_service [set]
		procd_set_config_changed [firewall]
	END
}

the_first_start_names_the_link_command() {
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
	printf '\t%s\n' "option enabled '0'" >>"$work/config"
	service start || return 1
	not_called procd_open_instance
	called 'procd_close_service [set]'
	absent "$work/run/flags"
}

reload_renders_by_rename() {
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
	not_called 'procd_set_param [reload_signal]'
	not_called 'procd_set_param [file]'
}

# uci reads what is before the mistake, and here that has no secret.
what_uci_cannot_read_is_no_configuration() {
	service start || return 1
	uci_config "list listen '0.0.0.0:8443'"
	echo "/sbin/uci: Parse error (EOF with unterminated ') at line 3, byte 9" >"$work/config.mistake"
	service reload && fail 'reloaded'
	called_with logger "/etc/config/smol-mtproxy: uci cannot read it: Parse error (EOF with unterminated ') at line 3, byte 9; mend that"
	not_called_with logger secret
	# Neither where that leaves a whole one.
	fresh_config
	service reload && fail 'reloaded'
	rm "$work/config.mistake"
	service reload || return 1
	not_called logger
}

a_config_without_its_section_is_named() {
	service start || return 1
	sed -i 's/main/other/' "$work/config"
	for action in reload start; do
		service "$action" && fail "$action: succeeded"
		called_with logger "it has no section 'main'"
		not_called_with logger secret
	done
	: >"$work/config"
	service reload && fail 'reloaded'
	called_with logger "it has no section 'main'"
}

what_does_not_fit_is_not_called_bad() {
	service start || return 1
	: >"$work/procd/full"
	service reload && fail 'reloaded'
	called_with logger "no room for flags and copies in $work/run: free some memory"
	not_called_with logger secret
	rm "$work/procd/full"
	service reload || return 1
}

# procd logs what they say then.
scripts_of_the_boot_say_it_once() {
	printf '\t%s\n' "option max_clients 'many'" >>"$work/config"
	service boot && fail 'started'
	called "logger [-t] [smol-mtproxy] [-p] [daemon.err] [/etc/config/smol-mtproxy: max_clients: 'many'"
	equal 1 "$(grep -c '^logger' "$work/calls")"
	fresh_config
	service boot || return 1
	called procd_open_instance
}

# A fork is 5 ms on a small router.
many_secrets_take_no_forks() {
	for number in $(seq 100 299); do
		printf '\t%s\n' "list secret 'dd00112233445566778899aabbccdde$number'"
	done >>"$work/config"
	# shellcheck disable=SC2016
	{
		printf 'tr() { echo >>%s; command tr "$@"; }\n' "$work/tr.calls"
		echo ". '$source_dir/smol-mtproxy.init'"
	} >"$work/init"
	INIT="$work/init" service start || return 1
	equal 201 "$(grep -c '^--secret dd' "$work/run/flags")"
	[ "$(grep -c . "$work/tr.calls")" -lt 20 ] || fail "tr was run $(grep -c . "$work/tr.calls") times"
}

a_jail_where_there_is_one() {
	install_ujail 0
	printf '\t%s\n' "list listen '0.0.0.0:443'" "option telegram_config '/etc/telegram/config'" \
		"list table 'banned=/etc/banned.txt'" "option data_dir '$work/kept'" >>"$work/config"
	service start || return 1
	called 'procd_add_jail [smol-mtproxy] [procfs] [ronly]'
	called "procd_set_param [capabilities] [$source_dir/smol-mtproxy.capabilities.json]"
	called "procd_add_jail_mount [$work/run] [$work/run/resolv.conf:/etc/resolv.conf] [$work/run/hosts:/etc/hosts]"
	called "procd_add_jail_mount_rw [$work/kept]"
	equal 2 "$(grep -c procd_add_jail_mount "$work/calls")"
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
	install_ujail 1
	service start || return 1
	not_called procd_add_jail
	not_called 'procd_set_param [capabilities]'
	called 'procd_set_param [user] [smol-mtproxy]'
}

low_ports_without_a_jail_are_bound_by_root() {
	printf '\t%s\n' "list listen '[::]:443,name=v6'" >>"$work/config"
	service start || return 1
	not_called 'procd_set_param [user]'
	called 'procd_append_param [command] [--user] [smol-mtproxy]'
}

the_firewall_opens_each_port_once() {
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

# Nobody from there could reach them.
loopback_opens_nothing() {
	uci_config "list listen '127.0.0.1:2398'" "list listen '[::1]:2399,name=x'" "list listen '127.8.0.1:2400'" \
		"list listen '[::ffff:127.0.0.1]:2401'" "list listen '[0:0:0:0:0:0:0:1]:2402'" \
		"list listen '[fd00::1]:2403'" "list listen '8443'" "list listen '127.0.0.1:8443,name=y'" \
		"list listen '[2001:db8::1:1]:2404'" \
		"list secret 'dd00112233445566778899aabbccddeeff'" "option firewall_zone 'wan'"
	service start || return 1
	equal '2403 2404 8443 ' "$(opened_ports)"
}

# impossible LINE MESSAGE: beside a bad flag, which is named too; with a flags
# file as well.
impossible() {
	fresh
	printf '\t%s\n' "$1" "option hibernate 'x'" >>"$work/config"
	service start && fail "started with $1"
	called_with logger "$2"
	called_with logger "hibernate: 'x'"
	printf '%s\n' '--listen 8443' '--secret dd00112233445566778899aabbccddeeff' >"$work/mine"
	uci_config "option flags_file '$work/mine'" "$1"
	service start && fail "started with a flags file and $1"
	called_with logger "$2"
	not_called procd_open_instance
}

impossible_values_are_named() {
	impossible "option enabled 'maybe'" "enabled: 'maybe' is neither 1 nor 0"
	impossible "option jail 'strict'" "jail: 'strict' is neither 1 nor 0"
	impossible "option nofile 'many'" "nofile: 'many' is not a whole number"
	for number in 0 63 1048577 99999999999999999999; do
		impossible "option nofile '$number'" "nofile: '$number' is not possible here; give 64 to 1048576"
	done
	impossible "option firewall_zone 'wan lan'" "firewall_zone: 'wan lan' cannot be the name of a zone"
}

possible_values_are_not() {
	for line in "option enabled 'yes'" "option jail 'off'" "option nofile '64'" "option nofile '1048576'" \
		"option firewall_zone '*'" "option firewall_zone ''" "option firewall_zone 'vpn_2-a'"; do
		fresh
		printf '\t%s\n' "$line" >>"$work/config"
		service start || fail "refused $line"
		called procd_open_instance
		not_called logger
	done
}

a_zone_that_is_not_there_is_named() {
	printf '%s\n' 'firewall.@defaults[0]=defaults' 'firewall.@zone[0]=zone' "firewall.@zone[0].name='lan'" \
		'firewall.outside=zone' "firewall.outside.name='wan'" 'firewall.@rule[0]=rule' \
		"firewall.@rule[0].name='guests'" >"$work/firewall"
	for zone in lan wan '*'; do
		uci_config "list listen '8443'" "list secret 'dd00112233445566778899aabbccddeeff'" \
			"option firewall_zone '$zone'"
		service start || return 1
		not_called logger
	done
	sed -i "s/firewall_zone .*/firewall_zone 'guests'/" "$work/config"
	service start || return 1
	called_with logger "firewall_zone: /etc/config/firewall has no zone 'guests'; the ports stay closed until it has"
	called 'json_add_string [src] [guests]'
}

stopping_closes_the_firewall() {
	service stop || return 1
	called 'procd_set_config_changed [firewall]'
}

# enables_in_an_image SHELL...: it may be any shell of the machine that makes it.
enables_in_an_image() {
	rm -rf "$work/image"
	mkdir -p "$work/image/etc/rc.d" "$work/image/usr/lib/smol-mtproxy"
	cp "$source_dir"/*.sh "$work/image/usr/lib/smol-mtproxy/"
	env -u LIB IPKG_INSTROOT="$work/image" CALLS="$work/calls" PROCD="$work/procd" \
		"$@" "$here/rc_common.sh" "$source_dir/smol-mtproxy.init" enable >"$work/stdout" 2>&1 || fail "$1: not enabled"
	equal '' "$(cat "$work/stdout")"
	equal 'K10smol-mtproxy.init S95smol-mtproxy.init ' "$(find "$work/image/etc/rc.d" -type l -exec basename {} \; | sort | tr '\n' ' ')"
}

enabling_in_an_image_is_silent() {
	enables_in_an_image "${ash:?}"
	enables_in_an_image sh
	if command -v bash >/dev/null; then
		enables_in_an_image bash
	fi
}

for test in default_config_starts the_first_start_names_the_link_command disabled_starts_nothing \
	reload_renders_by_rename a_jail_where_there_is_one the_jail_lets_ctl_have_its_socket \
	a_jail_that_cannot_run_us_is_left_out \
	low_ports_without_a_jail_are_bound_by_root the_firewall_opens_each_port_once \
	loopback_opens_nothing impossible_values_are_named possible_values_are_not \
	a_zone_that_is_not_there_is_named what_uci_cannot_read_is_no_configuration \
	a_config_without_its_section_is_named what_does_not_fit_is_not_called_bad scripts_of_the_boot_say_it_once \
	many_secrets_take_no_forks enabling_in_an_image_is_silent stopping_closes_the_firewall; do
	fresh
	run_test "$test"
done
report init_script
