#!/bin/sh
# config/init.sh ROLE FILE: writes FILE from config/ROLE.conf, with a fresh secret
# and this machine's public address. Where FILE is there and its template has
# changed since, shows what is new and asks; it never overwrites silently. The
# template that FILE was made from lies beside it, as FILE.template. An empty ROLE
# is that of FILE, or both.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
role=$1
file=$2

main() {
    umask 077
    if [ -e "$file" ]; then
        keep_role
    fi
    role=${role:-both}
    template=$here/$role.conf
    [ -f "$template" ] || {
        echo "ROLE=$role: take both, front or back" >&2
        exit 1
    }
    if [ -e "$file" ]; then
        update
    else
        create
    fi
}

# The template of another role would be no newer version of FILE's.
keep_role() {
    is=$(sed -n "s/^[[:space:]]*\(--\)\{0,1\}role[[:space:]]*[[:space:]=][[:space:]]*[\"']\{0,1\}\([a-z]*\).*/\2/p" "$file" | tail -n 1)
    is=${is:-both}
    if [ -n "$role" ] && [ "$role" != "$is" ]; then
        echo "$file is of role $is, not $role: leave ROLE out, or move the file away" >&2
        exit 1
    fi
    role=$is
}

create() {
    mkdir -p "$(dirname "$file")"
    address=$(public_address)
    case $address in
        '') line='#--external-ip 192.0.2.1' ;;
        *) line="#--external-ip $address" ;;
    esac
    secret=dd$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    sed -e "s/@SECRET@/$secret/" -e "s/^@EXTERNAL_IP@$/$line/" \
        -e "s/@BACK@/<BACK-ADDRESS>:8443/" "$template" >"$file"
    cp "$template" "$file.template"
    echo "wrote $file${address:+ (the public address of this machine is $address)}"
    remind
}

remind() {
    case $role in
        front) echo "to edit: --link, the address or name of the back; the files that secure the link" ;;
        back) echo "to edit: --link-listen, where fronts connect to; the files that secure the link" ;;
        *) echo "to edit: nothing; see --tls-domain and --tag for more" ;;
    esac
    echo "start with: smol-mtproxy run --config $file"
}

update() {
    if [ ! -e "$file.template" ]; then
        echo "$file is there and stays as it is; CONF=… names another"
        return
    fi
    if cmp -s "$template" "$file.template"; then
        echo "$file is there and its template has not changed"
        return
    fi
    echo "the template of $file has changed:"
    diff -u "$file.template" "$template" || :
    if ask "merge these changes into $file?"; then
        merge
    else
        echo "$file stays as it is"
    fi
}

# The changes of the template, applied to what the person made of it. The work is
# done on copies, as patch leaves some about and they have secrets in them.
merge() {
    if ! command -v patch >/dev/null 2>&1; then
        echo "patch is missing: edit $file by hand, then: cp $template $file.template" >&2
        exit 1
    fi
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT TERM
    filled_in "$file.template" >"$scratch/from"
    filled_in "$template" >"$scratch/to"
    diff -u "$scratch/from" "$scratch/to" >"$scratch/changes" || :
    cp "$file" "$scratch/merged"
    if [ -s "$scratch/changes" ] && ! patch -N "$scratch/merged" "$scratch/changes" >/dev/null; then
        echo "the changes do not fit $file, which stays as it is: make them by hand, then: cp $template $file.template" >&2
        exit 1
    fi
    cp -p "$file" "$file.old"
    cat "$scratch/merged" >"$file"
    cp "$template" "$file.template"
    echo "merged; the file as it was is $file.old"
}

# filled_in TEMPLATE: where it has a placeholder, the line that FILE has for that
# flag, in use or commented out; or else changes near by would not fit FILE.
filled_in() {
    awk -v file="$file" '
        BEGIN {
            while ((getline text < file) > 0) {
                flag = text
                sub(/^#/, "", flag)
                sub(/[ \t].*/, "", flag)
                if (!(flag in line)) line[flag] = text
            }
        }
        function fill(placeholder, flag) {
            if (index($0, placeholder) && flag in line) $0 = line[flag]
        }
        {
            fill("@SECRET@", "--secret")
            fill("@EXTERNAL_IP@", "--external-ip")
            fill("@BACK@", "--link")
            print
        }' "$1"
}

ask() {
    printf '%s [y/N] ' "$1"
    read -r answer || answer=
    case $answer in
        y | Y | yes) return 0 ;;
        *)
            echo
            return 1
            ;;
    esac
}

# The address that this machine sends from, if the internet can reach it.
public_address() {
    address=$(ip -o route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p') || return 0
    case $address in
        10.* | 127.* | 169.254.* | 192.168.* | 172.1[6-9].* | 172.2[0-9].* | 172.3[01].*) ;;
        100.6[4-9].* | 100.[7-9][0-9].* | 100.1[01][0-9].* | 100.12[0-7].*) ;;
        *) echo "$address" ;;
    esac
}

main
