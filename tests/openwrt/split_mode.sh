#!/bin/sh
# The init script in split mode: the files that secure the link, and its port.
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/service.sh"

# split_files: what certs and secret leave at the user's.
split_files() {
	rm -rf "$work/mine.d"
	mkdir "$work/mine.d"
	for name in ca.pem home.pem home.key link.psk; do
		echo "$name" >"$work/mine.d/$name"
	done
}

# A jail shows no file of the user's, and procd's user could not read a key of
# root's.
link_files_come_into_the_jail() {
	install_ujail 0
	split_files
	uci_config "option role 'front'" "list link '192.0.2.1:443'" \
		"list secret 'dd00112233445566778899aabbccddeeff'" \
		"option link_ca '$work/mine.d/ca.pem'" "option link_cert '$work/mine.d/home.pem'" \
		"option link_key '$work/mine.d/home.key'" "option link_psk '$work/mine.d/link.psk'"
	service start || return 1
	for flag in ca cert key psk; do
		contains "$work/run/flags" "--link-$flag link-$flag"
		equal 640 "$(stat -c %a "$work/run/link-$flag")"
	done
	file_is "$work/run/link-key" <"$work/mine.d/home.key"
	file_is "$work/run/link-psk" <"$work/mine.d/link.psk"
	in_model jail_shows "$work/run/link-key" >/dev/null || fail 'the jail has no key'
}

a_reload_takes_new_certificates() {
	split_files
	uci_config "option role 'back'" "list link_listen '8443'" "option link_psk '$work/mine.d/link.psk'"
	service start || return 1
	echo new >"$work/mine.d/link.psk.new"
	mv "$work/mine.d/link.psk.new" "$work/mine.d/link.psk"
	service reload || return 1
	equal new "$(cat "$work/run/link-psk")"
	became started unchanged 'signalled 1'
	fresh_config
	service reload || return 1
	absent "$work/run/link-psk"
}

link_files_that_cannot_be_read_are_named() {
	split_files
	uci_config "option role 'back'" "list link_listen '8443'" "option link_psk '$work/mine.d/link.psk'"
	service start || return 1
	printf '\t%s\n' "option link_key '$work/mine.d/none.key'" "option link_ca 'ca.pem'" >>"$work/config"
	echo new >"$work/mine.d/link.psk"
	service reload && fail 'reloaded'
	called_with logger "link_key: cannot read '$work/mine.d/none.key'"
	called_with logger "link_ca: 'ca.pem' is not a whole path, such as /etc/smol-mtproxy/ca.pem"
	equal link.psk "$(cat "$work/run/link-psk")"
	equal 'copies data flags link-psk lock shape ' "$(ls "$work/run" | tr '\n' ' ')"
}

# As `certs add-node` writes it, and the other spellings.
a_flags_file_names_files_beside_it() {
	split_files
	printf '%s\n' '--role front' '--link 192.0.2.1:443' '--link-ca ca.pem' 'link-cert = "home.pem" # mine' \
		"link-key='home.key'" "--link-psk $work/mine.d/link.psk" '#--link-psk none.psk' '--link-sni www.example.com' \
		'--secret dd00112233445566778899aabbccddeeff' >"$work/mine.d/link.home.conf"
	uci_config "option flags_file '$work/mine.d/link.home.conf'"
	service start || return 1
	file_is "$work/run/flags" <<-END
		--role front
		--link 192.0.2.1:443
		--link-ca link-ca
		--link-cert link-cert
		--link-key link-key
		--link-psk link-psk
		#--link-psk none.psk
		--link-sni www.example.com
		--secret dd00112233445566778899aabbccddeeff
		--data-dir $work/run/data
	END
	for name in ca.pem=ca home.pem=cert home.key=key link.psk=psk; do
		file_is "$work/run/link-${name#*=}" <"$work/mine.d/${name%=*}"
	done
}

a_low_port_of_the_link_is_bound_by_root() {
	split_files
	uci_config "option role 'back'" "list link_listen '[fd00::1]:443,late'" "option link_psk '$work/mine.d/link.psk'"
	service start || return 1
	not_called 'procd_set_param [user]'
	called 'procd_append_param [command] [--user] [smol-mtproxy]'
	uci_config "option role 'back'" "list link_listen ':8443'" "option link_psk '$work/mine.d/link.psk'"
	service start || return 1
	called 'procd_set_param [user] [smol-mtproxy]'
}

# Only the fronts should see it.
the_firewall_leaves_the_link_alone() {
	split_files
	uci_config "option role 'back'" "list link_listen '8443'" "option link_psk '$work/mine.d/link.psk'" \
		"option firewall_zone 'wan'"
	service start || return 1
	equal '' "$(opened_ports)"
}

for test in link_files_come_into_the_jail a_reload_takes_new_certificates \
	link_files_that_cannot_be_read_are_named a_flags_file_names_files_beside_it \
	a_low_port_of_the_link_is_bound_by_root the_firewall_leaves_the_link_alone; do
	fresh
	run_test "$test"
done
report split_mode
