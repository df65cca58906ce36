#!/bin/sh
# The init script and the WEB proxy: certificates, the directory that strangers see, ports.
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/service.sh"

own=$work/mine.d

# web_files: what the CA and the user left.
web_files() {
	rm -rf "$own" "$work/www"
	mkdir "$own" "$work/www"
	echo site >"$work/www/index.html"
	for name in a.pem a.key b.pem b.key; do
		echo "$name" >"$own/$name"
	done
}

# web_config LINE...: a proxy with a secret, and these.
web_config() {
	uci_config "list secret 'dd00112233445566778899aabbccddeeff'" "$@"
}

certificates_come_into_the_jail() {
	install_ujail 0
	web_files
	web_config "list web 'a.example,cert=$own/a.pem,key=$own/a.key,secret=x'" \
		"list web 'b.example/b'" "list web 'c.example,key=$own/b.key,cert=$own/b.pem'" \
		"option web_site '$work/www'"
	service start || return 1
	contains "$work/run/flags" '--web a.example,cert=web-cert-1,key=web-key-1,secret=x'
	contains "$work/run/flags" '--web b.example/b'
	contains "$work/run/flags" '--web c.example,key=web-key-3,cert=web-cert-3'
	equal a.key "$(cat "$work/run/web-key-1")"
	equal b.pem "$(cat "$work/run/web-cert-3")"
	equal 640 "$(stat -c %a "$work/run/web-key-1")"
	in_model jail_shows "$work/run/web-key-3" >/dev/null || fail 'the jail has no key'
	in_model jail_shows "$work/www/index.html" >/dev/null || fail 'the jail has no site'
	called "procd_add_jail_mount [$work/www]"
	not_called "procd_add_jail_mount_rw [$work/www]"
}

a_reload_takes_a_renewed_certificate() {
	web_files
	web_config "list web 'a.example,cert=$own/a.pem,key=$own/a.key'" "option web_site '$work/www'"
	service start || return 1
	echo new >"$own/a.pem.new" && mv "$own/a.pem.new" "$own/a.pem"
	service reload || return 1
	equal new "$(cat "$work/run/web-cert-1")"
	became started unchanged 'signalled 1'
	web_config "list web 'a.example'" "list web_listen '127.0.0.1:8080'" "option web_site '$work/www'"
	service reload || return 1
	absent "$work/run/web-key-1"
}

what_cannot_be_read_is_named() {
	web_files
	web_config "list web 'a.example,cert=$own/a.pem,key=$own/none.key'" "option web_site '$work/www'"
	service start && fail 'started'
	called_with logger "web: cannot read '$own/none.key': put the file there, or mend the path"
	web_config "list web 'a.example,cert=a.pem,key=$own/a.key'" "option web_site 'www'"
	service start && fail 'started'
	called_with logger "web: 'a.pem' is not a whole path, such as /etc/smol-mtproxy/a.pem"
	called_with logger "web_site: 'www' is not a whole path, such as /www/www"
	web_config "list web 'a.example'" "list web_listen '8080'" "option web_site '/'"
	service start && fail 'started'
	called_with logger 'web_site: the root directory cannot be'
}

sites_of_others_are_no_directories() {
	install_ujail 0
	web_files
	web_config "list web 'a.example'" "list web_listen '127.0.0.1:8080'" \
		"list web_site 'http://192.168.1.2'" "list web_site 'a.example=$work/www'"
	service start || return 1
	contains "$work/run/flags" '--web-site http://192.168.1.2'
	contains "$work/run/flags" "--web-site a.example=$work/www"
	called "procd_add_jail_mount [$work/www]"
	not_called 'procd_add_jail_mount [http'
}

the_firewall_leaves_the_door_of_the_web_server_alone() {
	web_files
	web_config "list web 'a.example'" "list web_listen '192.168.1.1:80'" "option web_site '$work/www'" \
		"list listen '8443'" "option firewall_zone 'wan'"
	service start || return 1
	equal '8443 ' "$(opened_ports)"
	called 'procd_append_param [command] [--user] [smol-mtproxy]'
}

for test in certificates_come_into_the_jail a_reload_takes_a_renewed_certificate \
	what_cannot_be_read_is_named sites_of_others_are_no_directories \
	the_firewall_leaves_the_door_of_the_web_server_alone; do
	fresh
	run_test "$test"
done
report web
