#!/bin/sh
# Installs what is missing, and only that, for the named jobs:
#   cross/setup.sh build|test|lint|cross...
# On Debian-like systems as root through apt; elsewhere it names the command.
# Changes nothing (and takes no time) when nothing is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
packages=
wishes=
updated=

say() { echo "setup: $*" >&2; }

main() {
    [ $# -gt 0 ] || { say "usage: setup.sh build|test|lint|cross..."; exit 2; }
    for job in "$@"; do
        case $job in
            build) want_build ;;
            test) want_build; want_test ;;
            lint) want_build ;;
            cross) want_cross ;;
            *) say "unknown job '$job': build, test, lint or cross"; exit 2 ;;
        esac
    done
    install_packages
    grant_wishes
    case " $* " in *" lint "*) want_lint ;; esac
    check_rust
}

want_build() {
    want cc gcc libc6-dev
    "$here/rust.sh" true 2>/dev/null || want_rust
}

# Real clients run in a venv, in a network namespace of their own; the OpenWrt
# scripts run under the shell that routers have; the link is cut with nftables;
# HAProxy stands in front of us.
want_test() {
    want busybox busybox
    want patch patch
    # Not in everybody's PATH.
    [ -x /usr/sbin/haproxy ] || want haproxy haproxy
    want ip iproute2
    want nft nftables
    want unshare util-linux
    # Delays system calls of the proxy.
    want strace strace
    # Counts its instructions.
    wish valgrind valgrind
    want python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || add python3-venv
    # Web servers, a browser and probers.
    want nginx nginx-light
    [ -x /usr/sbin/apache2 ] || want apache2 apache2-bin
    wish caddy caddy
    wish npm npm
    want openssl openssl
    want curl curl
    want chromium chromium
    # An authority for ACME.
    wish pebble pebble
}

# One Debian source package holds compiler and std source, so they always match.
want_cross() {
    for package in rustc-web cargo-web rust-web-src qemu-user; do
        is_installed "$package" || add "$package"
    done
    want cc gcc libc6-dev
    want file file
    want readelf binutils
    want python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || add python3-venv
}

want_rust() {
    say "no Rust $(minimum) or newer here: Debian's current build (rustc-web, cargo-web) will do"
    add rustc-web cargo-web
}

# rustup's components when the toolchain is rustup's, else Debian's packages.
want_lint() {
    has_lints && return
    if rustup=$(PATH="${HOME:-/root}/.cargo/bin:$PATH" command -v rustup) &&
        "$rustup" component add rustfmt clippy >&2 && has_lints; then
        return
    fi
    add rustfmt-web rust-web-clippy
    install_packages
    has_lints || { say "rustfmt and clippy are missing: rustup component add rustfmt clippy"; exit 1; }
}

has_lints() {
    "$here/rust.sh" cargo fmt --version >/dev/null 2>&1 &&
        "$here/rust.sh" cargo clippy --version >/dev/null 2>&1
}

# want COMMAND PACKAGE...: the packages are needed if the command is not there.
want() {
    command=$1
    shift
    command -v "$command" >/dev/null 2>&1 || add "$@"
}

# wish COMMAND PACKAGE: as `want`, but what uses it is left out where it cannot be
# had.
wish() {
    command -v "$1" >/dev/null 2>&1 || wishes="$wishes $2"
}

add() {
    for package in "$@"; do
        case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
    done
}

is_installed() {
    dpkg-query -Wf '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

install_packages() {
    [ -n "$packages" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        say "not a Debian-like system; install what these packages hold:$packages"
        say "(Rust itself: https://rustup.rs, version $(minimum) or newer)"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "missing packages; install them with: sudo apt-get install -y$packages"
        exit 1
    fi
    say "installing$packages"
    apt_update
    keep_services_stopped
    # shellcheck disable=SC2086  # a list of words
    apt install -y --no-install-recommends $packages ||
        { say "apt-get failed; try: apt-get install -y$packages"; exit 1; }
    packages=
}

# One by one, as each may fail alone.
grant_wishes() {
    for package in $wishes; do
        if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
            say "installing $package"
            keep_services_stopped
            (apt_update && apt install -y --no-install-recommends "$package") && continue
        fi
        say "$package cannot be had here: what tests/site or \`make guard\` does with it is left out (install it by hand to have it)"
    done
    wishes=
}

apt_update() {
    [ -z "$updated" ] || return 0
    for attempt in 1 2 3; do
        apt update && { updated=yes; return 0; }
        say "apt-get update failed (attempt $attempt of 3)"
        sleep 5
    done
    say "no package lists: is the network up?"
    exit 1
}

# Servers that come with packages are for tests only.
keep_services_stopped() {
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && return
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

check_rust() {
    "$here/rust.sh" true || {
        say "Rust $(minimum) or newer: curl -sSf https://sh.rustup.rs | sh"
        exit 1
    }
}

minimum() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml"; }

main "$@"
