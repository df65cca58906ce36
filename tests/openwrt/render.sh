#!/bin/sh
# The rendering of UCI into the flags file.
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/service.sh"

flags_are_for_the_services_group() {
	service start || return 1
	equal 640 "$(stat -c %a "$work/run/flags")"
	equal 750 "$(stat -c %a "$work/run")"
	equal 700 "$(stat -c %a "$work/run/data")"
}

every_key_becomes_its_flag() {
	mkdir -p "$work/theirs.d"
	touch "$work/theirs.d/secret" "$work/theirs.d/config6" "$work/theirs.d/banned"
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
		"option telegram_secret '$work/theirs.d/secret'" \
		"option telegram_config 'http://192.0.2.2/config'" \
		"option telegram_config_v6 '$work/theirs.d/config6'" \
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
		"list table 'banned=$work/theirs.d/banned'" \
		"option sni_salt 'pepper'" \
		"option proxy_protocol '127.0.0.1,192.0.2.0/24'" \
		"option replay_cache '20000'" \
		"option filter_server_errors 'on'" \
		"option flood_limit '20,100'" \
		"option reset 'on-handshake-error'" \
		"option control '$work/kept/ctl'" \
		"option max_handshakes '100'" \
		"option nofile '4096'"
	service start || return 1
	file_is "$work/run/flags" <<-END
		--listen 0.0.0.0:8443,name=home
		--listen [::]:8443,tag=0123456789abcdef0123456789abcdef
		--secret home=dd00112233445566778899aabbccddeeff
		--secret 00112233445566778899aabbccddeeff
		--tls-domain www.example.com
		--dc 2=192.0.2.3:443
		--dc 203=192.0.2.4:443
		--policy max-connections:client-ipv4:40
		--policy not-in-table:client-subnet/32:banned
		--table banned=table-1
		--link-name proxy.example.com:443
		--sni-salt pepper
		--proxy-protocol 127.0.0.1,192.0.2.0/24
		--fronting 192.0.2.5:443
		--fronting-to-any-site no
		--fronting-proxy-protocol yes
		--time-skew 1200,600
		--tls-records auto
		--answer-time off
		--route middle
		--tag 0123456789abcdef0123456789abcdef
		--external-ip 192.0.2.1
		--telegram-secret telegram-secret
		--telegram-config http://192.0.2.2/config
		--telegram-config-v6 telegram-config-v6
		--replay-cache 20000,forget
		--filter-server-errors on
		--flood-limit 20,100
		--reset on-handshake-error
		--data-dir $work/kept
		--control $work/kept/ctl
		--log-level debug
		--metrics 127.0.0.1:9090
		--handshake-timeout 10
		--idle-timeout 600
		--send-timeout 20
		--refresh 7200
		--dc-connections 1
		--clients-per-connection 150
		--max-handshakes 100
		--max-clients 200
		--hibernate 15
		--allow classic,dd,tls
		--buffers 1M
	END
	called "procd_set_param [limits] [nofile=4096 4096]"
	called "chown [-h] [smol-mtproxy:smol-mtproxy] [$work/kept]"
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
	absent "$work/run/next"
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
	refuses "option nofile '1
daemon.err other: a line of its own'" "nofile: '1 daemon.err other: a line of its own' is not a whole number"
	refuses "option data_dir '/x #\"'\\''y'" 'data_dir: a value that needs quotes may not hold both kinds'
	refuses "option flags_file '$work/nowhere'" "flags_file: cannot read '$work/nowhere'"
	refuses "option flags_file 'mine'" "flags_file: 'mine' is not a whole path, such as /etc/smol-mtproxy/mine"
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
		"option sni_salt 'a \"b\" \$(touch $work/ran) \`touch $work/ran\` c\\nd;*'" \
		"option data_dir '$work/with space'"
	service start || return 1
	contains "$work/run/flags" '--secret two words=dd00112233445566778899aabbccddeeff'
	contains "$work/run/flags" "--secret it's=00112233445566778899aabbccddeeff"
	contains "$work/run/flags" "--sni-salt a \"b\" \$(touch $work/ran) \`touch $work/ran\` c\\nd;*"
	[ -d "$work/with space" ] || fail 'no data directory'
	absent "$work/ran"
}

what_the_file_would_misread_is_quoted() {
	uci_config "list secret ' #1=dd00112233445566778899aabbccddeeff'" \
		"option data_dir '$work/a #b'" \
		"option sni_salt 'x #\"y\"'" "option link_alpn '\"z'"
	service start || return 1
	contains "$work/run/flags" '--secret " #1=dd00112233445566778899aabbccddeeff"'
	contains "$work/run/flags" "--data-dir \"$work/a #b\""
	contains "$work/run/flags" "--sni-salt 'x #\"y\"'"
	contains "$work/run/flags" "--link-alpn '\"z'"
	[ -d "$work/a #b" ] || fail 'no data directory'
}

an_unknown_key_is_named_and_ignored() {
	printf '\t%s\n' "option max_client '5'" >>"$work/config"
	service start || return 1
	called_with logger 'max_client: unknown key, ignored'
	called procd_open_instance
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

for test in flags_are_for_the_services_group every_key_becomes_its_flag lists_and_options_are_interchangeable \
	bad_values_are_refused sizes_from_1m_are_taken bad_values_are_all_named a_secret_is_needed \
	quotes_and_spaces_survive what_the_file_would_misread_is_quoted an_unknown_key_is_named_and_ignored \
	a_flags_file_of_the_users_own a_flags_file_without_a_final_newline a_flags_file_from_windows \
	no_handshake_is_written_to_flash; do
	fresh
	run_test "$test"
done
report render
