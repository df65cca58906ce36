#!/bin/sh
# The init script and its rendering of UCI, run by the shell of routers
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
		chown [smol-mtproxy:smol-mtproxy] [$work/run] [$work/run/data] [$work/run/flags]
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

flags_file_is_private() {
	service start && equal 600 "$(stat -c %a "$work/run/flags")"
}

every_key_becomes_its_flag() {
	uci_config \
		"list listen '0.0.0.0:8443,name=home'" \
		"list listen '[::]:8443,tag=0123456789abcdef0123456789abcdef'" \
		"list secret 'home=dd00112233445566778899aabbccddeeff'" \
		"list secret '00112233445566778899aabbccddeeff'" \
		"option tag '0123456789abcdef0123456789abcdef'" \
		"option allow 'classic,dd,tls'" \
		"list tls_domain 'www.example.com'" \
		"option fronting '192.0.2.5:443'" \
		"option fronting_to_any_site 'no'" \
		"option fronting_proxy_protocol 'yes'" \
		"option time_skew '1200,600'" \
		"option tls_records 'auto'" \
		"option answer_time 'off'" \
		"option route 'middle'" \
		"option external_ip '192.0.2.1'" \
		"option link_name 'proxy.example.com:443'" \
		"option telegram_secret '/etc/telegram/secret'" \
		"option telegram_config 'http://192.0.2.2/config'" \
		"option telegram_config_v6 '/etc/telegram/config6'" \
		"option refresh '7200'" \
		"list dc '2=192.0.2.3:443'" \
		"list dc '203=192.0.2.4:443'" \
		"option dc_connections '1'" \
		"option clients_per_connection '150'" \
		"option max_clients '200'" \
		"option buffers '1M'" \
		"option handshake_timeout '10'" \
		"option idle_timeout '600'" \
		"option send_timeout '20'" \
		"option hibernate '15'" \
		"option data_dir '$work/kept'" \
		"option log_level 'debug'" \
		"option metrics '127.0.0.1:9090'" \
		"list policy 'max-connections:client-ipv4:40'" \
		"list policy 'not-in-table:client-subnet/32:banned'" \
		"list table 'banned=/etc/banned.txt'" \
		"option sni_salt 'pepper'" \
		"option proxy_protocol '127.0.0.1,192.0.2.0/24'" \
		"option replay_cache '20000'" \
		"option filter_server_errors 'on'" \
		"option flood_limit '20,100'" \
		"option reset 'on-handshake-error'" \
		"option control '$work/run/ctl'" \
		"option max_handshakes '100'" \
		"option nofile '4096'"
	service start || return 1
	file_is "$work/run/flags" <<-END
		--listen 0.0.0.0:8443,name=home
		--listen [::]:8443,tag=0123456789abcdef0123456789abcdef
		--secret home=dd00112233445566778899aabbccddeeff
		--secret 00112233445566778899aabbccddeeff
		--tls-domain www.example.com
		--policy max-connections:client-ipv4:40
		--policy not-in-table:client-subnet/32:banned
		--table banned=/etc/banned.txt
		--dc 2=192.0.2.3:443
		--dc 203=192.0.2.4:443
		--fronting 192.0.2.5:443
		--fronting-to-any-site no
		--fronting-proxy-protocol yes
		--time-skew 1200,600
		--tls-records auto
		--answer-time off
		--tag 0123456789abcdef0123456789abcdef
		--route middle
		--external-ip 192.0.2.1
		--link-name proxy.example.com:443
		--telegram-secret /etc/telegram/secret
		--telegram-config http://192.0.2.2/config
		--telegram-config-v6 /etc/telegram/config6
		--data-dir $work/kept
		--log-level debug
		--metrics 127.0.0.1:9090
		--sni-salt pepper
		--proxy-protocol 127.0.0.1,192.0.2.0/24
		--replay-cache 20000,forget
		--filter-server-errors on
		--flood-limit 20,100
		--reset on-handshake-error
		--control $work/run/ctl
		--refresh 7200
		--dc-connections 1
		--clients-per-connection 150
		--max-clients 200
		--handshake-timeout 10
		--idle-timeout 600
		--send-timeout 20
		--hibernate 15
		--max-handshakes 100
		--allow classic,dd,tls
		--buffers 1M
	END
	called "procd_set_param [limits] [nofile=4096 4096]"
	called "chown [smol-mtproxy:smol-mtproxy] [$work/kept]"
	not_called logger
}

lists_and_options_are_interchangeable() {
	uci_config "option listen '0.0.0.0:8443'" "option secret 'dd00112233445566778899aabbccddeeff'" \
		"list allow 'dd'" "list allow 'tls'"
	service start || return 1
	contains "$work/run/flags" '--listen 0.0.0.0:8443'
	contains "$work/run/flags" '--secret dd00112233445566778899aabbccddeeff'
	contains "$work/run/flags" '--allow dd,tls'
}

# refuses KEY_AND_VALUE MESSAGE: starts nothing, says why.
refuses() {
	fresh
	printf '\t%s\n' "$1" >>"$work/config"
	if service start; then
		fail "started with $1"
	fi
	called_with logger "$2"
	not_called procd_open_instance
	absent "$work/run/flags"
	absent "$work/run/flags.new"
}

bad_values_are_refused() {
	refuses "option idle_timeout '5m'" "idle_timeout: '5m' is not a whole number"
	refuses "option max_clients '-1'" "max_clients: '-1' is not a whole number"
	refuses "option refresh '1 2'" "refresh: '1 2' is not a whole number"
	refuses "option buffers 'lots'" "buffers: 'lots' is not a size such as 2048K or 2M"
	refuses "option buffers 'M'" "buffers: 'M' is not a size"
	for size in 512K 1023k 0 0M 1048575; do
		refuses "option buffers '$size'" "buffers: '$size' is too small"
	done
	refuses "option tag 'a
b'" 'tag: a value may not hold line breaks'
	refuses "list dc '1=192.0.2.1:443
--route middle'" 'dc: a value may not hold line breaks'
	refuses "option data_dir '/x #\"'\\''y'" 'data_dir: a value that needs quotes may not hold both kinds'
	refuses "option flags_file '$work/nowhere'" "flags_file: cannot read '$work/nowhere'"
}

sizes_from_1m_are_taken() {
	for size in 1M 1m 1024K 1048576 1G 0002M 99999999999999999999K; do
		fresh
		printf '\t%s\n' "option buffers '$size'" >>"$work/config"
		service start || fail "refused $size"
		contains "$work/run/flags" "--buffers $size"
	done
}

bad_values_are_all_named() {
	fresh
	printf '\t%s\n' "option hibernate 'x'" "option refresh 'y'" >>"$work/config"
	service start && fail 'started'
	called_with logger hibernate
	called_with logger refresh
}

a_secret_is_needed() {
	uci_config "list listen '0.0.0.0:8443'"
	service start && fail 'started without a secret'
	called_with logger 'secret: none is set'
	uci_config "list listen '0.0.0.0:8443,secret=dd00112233445566778899aabbccddeeff'"
	service start || return 1
	uci_config "list listen '8443'" "option data_dir '$work/kept'"
	service start || return 1
	echo 'listen 8443' >"$work/mine"
	uci_config "option flags_file '$work/mine'"
	service start && fail 'started without a secret, with a flags file'
	called_with logger 'secret: none is set'
}

quotes_and_spaces_survive() {
	uci_config "list listen '0.0.0.0:8443'" \
		"list secret 'two words=dd00112233445566778899aabbccddeeff'" \
		"list secret 'it'\\''s=00112233445566778899aabbccddeeff'" \
		"option telegram_config '/mnt/a \"b\" \$(touch $work/ran) \`touch $work/ran\` c\\nd;*'" \
		"option data_dir '$work/with space'"
	service start || return 1
	contains "$work/run/flags" '--secret two words=dd00112233445566778899aabbccddeeff'
	contains "$work/run/flags" "--secret it's=00112233445566778899aabbccddeeff"
	contains "$work/run/flags" "--telegram-config /mnt/a \"b\" \$(touch $work/ran) \`touch $work/ran\` c\\nd;*"
	[ -d "$work/with space" ] || fail 'no data directory'
	absent "$work/ran"
}

what_the_file_would_misread_is_quoted() {
	uci_config "list secret ' #1=dd00112233445566778899aabbccddeeff'" \
		"option data_dir '$work/a #b'" \
		"option telegram_config '/mnt/x #\"y\"'" "option telegram_secret '\"z'"
	service start || return 1
	contains "$work/run/flags" '--secret " #1=dd00112233445566778899aabbccddeeff"'
	contains "$work/run/flags" "--data-dir \"$work/a #b\""
	contains "$work/run/flags" "--telegram-config '/mnt/x #\"y\"'"
	contains "$work/run/flags" "--telegram-secret '\"z'"
	[ -d "$work/a #b" ] || fail 'no data directory'
}

an_unknown_key_is_named_and_ignored() {
	fresh
	printf '\t%s\n' "option max_client '5'" >>"$work/config"
	service start || return 1
	called_with logger 'max_client: unknown key, ignored'
	called procd_open_instance
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

a_flags_file_of_the_users_own() {
	printf '%s\n' '# mine' '--listen 0.0.0.0:2398' 'listen = "[::]:2399" # home' \
		"listen='2400,name=x'" '--secret dd00112233445566778899aabbccddeeff' >"$work/mine"
	uci_config "option flags_file '$work/mine'" "option firewall_zone 'wan'"
	service start || return 1
	file_is "$work/run/flags" <<-END
		# mine
		--listen 0.0.0.0:2398
		listen = "[::]:2399" # home
		listen='2400,name=x'
		--secret dd00112233445566778899aabbccddeeff
		--data-dir $work/run/data
	END
	equal '2398 2399 2400 ' "$(opened_ports)"
	echo "--data-dir $work/theirs" >>"$work/mine"
	service reload || return 1
	equal "$work/theirs" "$(sed -n 's/--data-dir //p' "$work/run/flags")"
}

a_flags_file_without_a_final_newline() {
	printf '%s\n%s' '--secret dd00112233445566778899aabbccddeeff' '--listen 2398' >"$work/mine"
	uci_config "option flags_file '$work/mine'"
	service start || return 1
	file_is "$work/run/flags" <<-END
		--secret dd00112233445566778899aabbccddeeff
		--listen 2398
		--data-dir $work/run/data
	END
}

a_flags_file_from_windows() {
	printf '%s\r\n' '--secret dd00112233445566778899aabbccddeeff' '--listen 443' 'listen = "2398"' \
		"--data-dir $work/kept" >"$work/mine"
	uci_config "option flags_file '$work/mine'" "option firewall_zone 'wan'"
	service start || return 1
	[ -d "$work/kept" ] || fail 'no data directory'
	equal '443 2398 ' "$(opened_ports)"
	called 'procd_append_param [command] [--user] [smol-mtproxy]'
	equal "--data-dir $work/kept" "$(sed -n '/data-dir/p' "$work/run/flags" | tr -d '\r')"
}

# replay_cache_with OPTION…: the flag that comes of these.
replay_cache_with() {
	uci_config "list secret 'dd00112233445566778899aabbccddeeff'" "$@"
	service start || return 1
	sed -n '/replay-cache/p' "$work/run/flags" | tr -d '\r'
}

no_handshake_is_written_to_flash() {
	local kept="option data_dir '$work/kept'"

	equal '' "$(replay_cache_with "option hibernate '5'")"
	equal '--replay-cache 5000' "$(replay_cache_with "option replay_cache '5000'")"
	equal '--replay-cache forget' "$(replay_cache_with "$kept")"
	equal '--replay-cache 5000,forget' "$(replay_cache_with "$kept" "option replay_cache '5000'")"
	for said in keep 5000,keep forget 5000,forget off; do
		equal "--replay-cache $said" "$(replay_cache_with "$kept" "option replay_cache '$said'")"
	done
	printf '%s\r\n' '--secret dd00112233445566778899aabbccddeeff' "data-dir = $work/kept" \
		'replay-cache = "7000"' >"$work/mine"
	equal '--replay-cache 7000,forget' "$(replay_cache_with "option flags_file '$work/mine'")"
}

a_jail_where_there_is_one() {
	fresh
	install_ujail 0
	printf '\t%s\n' "list listen '0.0.0.0:443'" "option telegram_config '/etc/telegram/config'" \
		"list table 'banned=/etc/banned.txt'" "option data_dir '$work/kept'" >>"$work/config"
	service start || return 1
	called 'procd_add_jail [smol-mtproxy] [procfs] [ronly]'
	called "procd_set_param [capabilities] [$source_dir/smol-mtproxy.capabilities.json]"
	called "procd_add_jail_mount_rw [$work/run]"
	called "procd_add_jail_mount_rw [$work/kept]"
	called 'procd_add_jail_mount [/etc/telegram/config]'
	called 'procd_add_jail_mount [/etc/banned.txt]'
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
	called "chown [smol-mtproxy:smol-mtproxy] [$work/sockets]"
	called "procd_add_jail_mount_rw [$work/sockets]"
	# One that is there is not taken away from its owner.
	service reload || return 1
	not_called "chown [smol-mtproxy:smol-mtproxy] [$work/sockets]"
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

the_link_command_uses_the_rendered_flags() {
	fresh
	# shellcheck disable=SC2016
	printf '#!/bin/sh\necho "$@"\n' >"$work/smol-mtproxy"
	chmod +x "$work/smol-mtproxy"
	equal "link --config $work/run/flags" "$(service link)"
	equal "check --config $work/run/flags" "$(service check)"
}

# install_lite STATUS LINE: one that has no check, and thinks that of its flags.
install_lite() {
	cat >"$work/smol-mtproxy" <<-END
		#!/bin/sh
		[ "\$*" = 'check --help' ] || [ $1 = 69 ] || { echo '$2' >&2; exit $1; }
		echo 'smol-mtproxy: check: not in this small build; and so on' >&2
		exit 69
	END
	chmod +x "$work/smol-mtproxy"
}

without_a_check_the_configuration_is_checked() {
	fresh
	install_lite 69 ''
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

for test in default_config_starts the_first_start_names_the_link_command flags_file_is_private every_key_becomes_its_flag \
	lists_and_options_are_interchangeable bad_values_are_refused sizes_from_1m_are_taken bad_values_are_all_named \
	a_secret_is_needed quotes_and_spaces_survive what_the_file_would_misread_is_quoted an_unknown_key_is_named_and_ignored \
	disabled_starts_nothing reload_renders_by_rename reload_of_a_bad_value_changes_nothing \
	reload_after_disabling_stops a_flags_file_of_the_users_own \
	a_flags_file_without_a_final_newline a_flags_file_from_windows no_handshake_is_written_to_flash \
	a_jail_where_there_is_one \
	the_jail_lets_ctl_have_its_socket a_jail_that_cannot_run_us_is_left_out \
	low_ports_without_a_jail_are_bound_by_root the_firewall_opens_each_port_once \
	stopping_closes_the_firewall the_link_command_uses_the_rendered_flags \
	without_a_check_the_configuration_is_checked; do
	fresh
	run_test "$test"
done
report init_script
