#!/bin/sh
# Browsers and probers against a real web server, with and without the proxy in
# between: nginx, curl, openssl s_client, headless Chromium. Everything runs in
# a network namespace that has nothing but loopback.
#   tests/site/run.sh [BINARY]
set -eu

here=$(cd "$(dirname "$0")" && pwd)

if [ -z "${SITE_TEST_INSIDE:-}" ]; then
    binary=${1:-${SMOL_MTPROXY_BIN:-}}
    if [ -z "$binary" ]; then
        sh "$here/../../cross/rust.sh" cargo build --quiet --locked
        binary=$here/../../${CARGO_TARGET_DIR:-target}/debug/smol-mtproxy
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    user=
    [ "$(id -u)" = 0 ] || user=--map-root-user
    # shellcheck disable=SC2086  # no word or one
    SITE_TEST_INSIDE=1 unshare $user --net --mount --pid --fork --mount-proc --kill-child \
        sh "$0" "$(realpath "$binary")" "$work"
    exit
fi

binary=$1
work=$2
ip link set lo up
printf '127.0.0.1 localhost\n127.0.0.1 ecdsa.test\n127.0.0.1 rsa.test\n' >"$work/hosts"
mount --bind "$work/hosts" /etc/hosts
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/check.py" "$binary" "$work"
