#!/bin/sh
# `make init-config`: what it writes, keeps and asks. Prints "N passed, M failed".
set -u
cd "$(dirname "$0")/../.." || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# check NAME COMMAND...
check() {
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        cat "$work/out"
    fi
}

init() { sh "$work/config/init.sh" "$1" "$work/$2" >"$work/out" 2>&1; }

new_templates() {
    rm -rf "$work/config"
    cp -r config "$work/config"
}

writes() {
    new_templates
    init "$1" "$1.conf" &&
        ! grep -q '@[A-Z_]*@' "$work/$1.conf" &&
        [ "$(stat -c %a "$work/$1.conf")" = 600 ] &&
        grep -q 'to edit:' "$work/out"
}

fresh_secret() {
    rm -f "$work/both.conf" "$work/both.conf.template"
    cp "$work/front.conf" "$work/first"
    rm -f "$work/front.conf" "$work/front.conf.template"
    init front front.conf && ! cmp -s "$work/first" "$work/front.conf"
}

keeps_what_is_there() {
    echo '# mine' >>"$work/front.conf"
    cp "$work/front.conf" "$work/before"
    init front front.conf && cmp -s "$work/before" "$work/front.conf" &&
        grep -q 'has not changed' "$work/out"
}

shows_and_asks() {
    sed -i 's/^# Bounds.*/# Bounds, in a newer version./' "$work/config/front.conf"
    cp "$work/front.conf" "$work/before"
    echo n | init front front.conf && cmp -s "$work/before" "$work/front.conf" &&
        grep -q '^+# Bounds, in a newer version' "$work/out" &&
        init front front.conf </dev/null && cmp -s "$work/before" "$work/front.conf"
}

merges_on_yes() {
    echo y | init front front.conf && grep -q 'newer version' "$work/front.conf" &&
        grep -q '^# mine' "$work/front.conf" && cmp -s "$work/before" "$work/front.conf.old" &&
        init front front.conf </dev/null && grep -q 'has not changed' "$work/out"
}

# As `make install` on a front, which says no role.
keeps_the_role_of_the_file() {
    for written in '--role front' 'role = "front" # here' "  role='front'"; do
        sed "s/^--role front/$written/" config/front.conf >"$work/kept.conf"
        cp config/front.conf "$work/kept.conf.template"
        env -u ROLE -u MAKEFLAGS make -s init-config CONF="$work/kept.conf" >"$work/out" 2>&1 </dev/null &&
            grep -q 'has not changed' "$work/out" || return 1
    done
}

refuses_another_role_than_the_files() {
    init both role.conf && cp "$work/role.conf" "$work/before" &&
        ! init front role.conf </dev/null && cmp -s "$work/before" "$work/role.conf" &&
        [ "$(cat "$work/out")" = "$work/role.conf is of role both, not front: leave ROLE out, or move the file away" ] &&
        init both role.conf </dev/null && init '' role.conf </dev/null
}

without_a_role_it_is_both() {
    rm -f "$work/none.conf"
    init '' none.conf && grep -q '^--listen' "$work/none.conf" && ! grep -q '^--role' "$work/none.conf"
}

# What `ctl table … --save` writes, in every text that names a table for systemd.
tables_lie_where_the_unit_may_write() {
    state=/var/lib/$(sed -n 's/^StateDirectory=//p' config/smol-mtproxy.service)
    for text in config/both.conf README.md; do
        table=$(sed -n 's/.*--table banned=\([^ `]*\).*/\1/p' "$text")
        [ "${table%/*}" = "$state" ] || return 1
    done
}

# Of the exit codes, those that stand for what a restart may find better.
restarts_where_that_may_help() {
    prevented=$(sed -n 's/^RestartPreventExitStatus=//p' config/smol-mtproxy.service)
    for kind in Usage Data Permission Config; do
        code=$(sed -n "s/^    $kind = \\([0-9]*\\),/\\1/p" src/cli/exit.rs)
        case " $prevented " in *" $code "*) ;; *) echo "not prevented: $kind" >"$work/out" && return 1 ;; esac
    done
    for kind in Ok NoInput Unavailable OsError CannotCreate; do
        code=$(sed -n "s/^    $kind = \\([0-9]*\\),/\\1/p" src/cli/exit.rs)
        case " $prevented " in *" $code "*) echo "prevented: $kind" >"$work/out" && return 1 ;; esac
    done
    # For as long as it takes.
    grep -q '^StartLimitIntervalSec=0$' config/smol-mtproxy.service && grep -q '^Restart=on-failure$' config/smol-mtproxy.service
}

# The lines beside those that are filled in.
merges_beside_what_was_filled_in() {
    new_templates
    for role in both front back; do
        init "$role" "near.$role" || return 1
        sed -i -e 's/^--link <BACK-ADDRESS>.*/--link 10.8.0.1:8443/' -e 's/^--secret first=/--secret alice=/' \
            -e 's/^#--external-ip.*/--external-ip 192.0.2.9/' "$work/near.$role"
        cp "$work/near.$role" "$work/before"
        sed -i -e 's/^# \(Who may connect: .*\|Needed behind NAT .*\|The address that clients .*\)/# New: \1/' \
            -e 's/^\(--link @BACK@\|--secret first=@SECRET@\|@EXTERNAL_IP@\)$/&\n# New, below./' \
            "$work/config/$role.conf"
        echo y | init "$role" "near.$role" || return 1
        diff "$work/before" "$work/near.$role" | grep '^[<>]' | grep -v -e '> # New' -e '^< # [WNT]' >>"$work/out" && return 1
        [ "$(grep -c '^# New: ' "$work/near.$role")" = "$(grep -c '^# New: ' "$work/config/$role.conf")" ] &&
            [ "$(grep -c '^# New, below' "$work/near.$role")" = "$(grep -c '^# New, below' "$work/config/$role.conf")" ] &&
            [ "$(grep -c '^# New, below' "$work/near.$role")" -ge 1 ] || return 1
    done
}

# A line that the person has changed and the new template changes as well.
leaves_nothing_about_when_changes_do_not_fit() {
    new_templates
    init both clash.conf || return 1
    sed -i -e 's/^--listen 443/--listen 8443/' -e 's/^# Where clients connect.*/# Mine./' "$work/clash.conf"
    cp "$work/clash.conf" "$work/before"
    cp "$work/clash.conf.template" "$work/before.template"
    sed -i -e 's/^--listen 443/--listen 444/' -e 's/^# Where clients connect/# Where all connect/' "$work/config/both.conf"
    mkdir "$work/tmp"
    ! (export TMPDIR="$work/tmp" && echo y | init both clash.conf) && cmp -s "$work/before" "$work/clash.conf" &&
        cmp -s "$work/before.template" "$work/clash.conf.template" &&
        grep -q 'do not fit .*clash.conf, which stays as it is' "$work/out" &&
        [ "$(cd "$work" && echo clash.conf*)" = 'clash.conf clash.conf.template' ] &&
        [ -z "$(ls "$work/tmp")" ]
}

# What the README's steps leave in a clone.
git_ignores_what_is_secret() {
    git rev-parse --git-dir >"$work/out" 2>&1 || return 0
    for name in config/local.conf config/local.conf.old config/link.psk config/home.key config/link.home.conf \
        link/ca.key link/link.back.conf; do
        git check-ignore -q "$name" || {
            echo "not ignored: $name" >"$work/out"
            return 1
        }
    done
}

# Somebody else's site is for nobody to be told: placeholders are RFC 2606's.
names_only_examples_as_domains() {
    grep -hoE "(--tls-domain|--link-sni|link --sni|tls_domain|secret ee) '?[a-z0-9][a-z0-9.-]*\.[a-z]+" \
        README.md doc/*.md config/*.conf config/openwrt/* src/cli/*.rs | sed "s/.* '\{0,1\}//" >"$work/names"
    [ -s "$work/names" ] && ! grep -vE '(^|\.)example(\.(com|net|org))?$' "$work/names" >"$work/out"
}

refuses_other_roles() { ! init middle middle.conf && [ ! -e "$work/middle.conf" ]; }

# The templates of web servers in front, by those that are installed.
nginx_takes_its_template() {
    command -v nginx >/dev/null || return 0
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/privkey.pem" -out "$work/fullchain.pem" -days 2 \
        -subj /CN=proxy.example.com 2>"$work/out" || return 1
    # Ports of this machine stay free.
    sed -e "s|/etc/letsencrypt/live/proxy.example.com|$work|; s|/var/log/nginx|$work|" \
        -e 's|listen 443|listen 127.0.0.1:18443|; s|listen \[::\]:443|listen [::1]:18443|' \
        config/web/nginx.conf >"$work/site.conf"
    {
        echo "pid $work/nginx.pid; error_log $work/nginx.log; events {} http {"
        for kind in client_body proxy fastcgi uwsgi scgi; do
            echo "${kind}_temp_path $work/$kind;"
        done
        echo "include $work/site.conf; }"
    } >"$work/nginx.conf"
    nginx -t -c "$work/nginx.conf" >"$work/out" 2>&1
}

caddy_takes_its_template() {
    command -v caddy >/dev/null || return 0
    (
        export HOME="$work"
        caddy validate --config config/web/Caddyfile --adapter caddyfile
    ) >"$work/out" 2>&1 && caddy fmt config/web/Caddyfile | cmp -s - config/web/Caddyfile
}

for role in both front back; do
    check "writes_$role" writes "$role"
done
check makes_another_secret_each_time fresh_secret
check keeps_what_is_there keeps_what_is_there
check shows_a_newer_template_and_asks shows_and_asks
check merges_on_yes merges_on_yes
check merges_beside_what_was_filled_in merges_beside_what_was_filled_in
check leaves_nothing_about_when_changes_do_not_fit leaves_nothing_about_when_changes_do_not_fit
check git_ignores_what_is_secret git_ignores_what_is_secret
check refuses_other_roles refuses_other_roles
check names_only_examples_as_domains names_only_examples_as_domains
check keeps_the_role_of_the_file keeps_the_role_of_the_file
check refuses_another_role_than_the_files refuses_another_role_than_the_files
check without_a_role_it_is_both without_a_role_it_is_both
check tables_lie_where_the_unit_may_write tables_lie_where_the_unit_may_write
check nginx_takes_its_template nginx_takes_its_template
check caddy_takes_its_template caddy_takes_its_template
check restarts_where_that_may_help restarts_where_that_may_help

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
