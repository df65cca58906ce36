#!/bin/sh
# Browsers, probers and clients at web servers, and at the proxy that passes for
# each: nginx, Apache, HAProxy, Caddy, Node. Everything runs in a network
# namespace that has nothing but loopback.
#   tests/site/run.sh [BINARY] [--only WORD...] [--report] [--list]
# SITE_CONNECTIONS: connections a statistic is made of (default 300). Rows that
# are known to differ are in differs.txt.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../../.cache/site

main() {
    binary=${SMOL_MTPROXY_BIN:-}
    case ${1:-} in '' | --*) ;; *) binary=$1; shift ;; esac
    built=$here/../../${CARGO_TARGET_DIR:-target}/debug
    [ -n "$binary" ] || { cargo --package smol-mtproxy && binary=$built/smol-mtproxy; }
    [ -n "${FAKE_TELEGRAM_BIN:-}" ] || { cargo --package fake-telegram && FAKE_TELEGRAM_BIN=$built/fake-telegram; }
    mkdir -p "$cache"
    install_node
    work=$(mktemp -d)
    # Where what has to outlive a restart is kept: /tmp may be in memory.
    disk=$(mktemp -d -p "$cache" data.XXXXXX)
    [ -n "${SITE_KEEP:-}" ] || trap 'rm -rf "$work" "$disk"' EXIT
    user=
    [ "$(id -u)" = 0 ] || user=--map-root-user
    export SITE_BINARY SITE_TELEGRAM SITE_NODE
    SITE_BINARY=$(realpath "$binary")
    SITE_TELEGRAM=$(realpath "$FAKE_TELEGRAM_BIN")
    SITE_NODE=$(find "$cache/node_modules" -path '*/bin/node' 2>/dev/null | head -n 1)
    # shellcheck disable=SC2086  # no word or one
    SITE_WORK=$work SITE_DISK=$(realpath "$disk") unshare $user --net --mount --pid --fork --mount-proc --kill-child \
        sh "$0" --inside "$@"
}

cargo() {
    sh "$here/../../cross/rust.sh" cargo build --quiet --locked "$@"
}

# Once for every content of the lock file. Without it its rows are left out.
install_node() {
    lock=$here/node/package-lock.json
    cmp -s "$lock" "$cache/installed" && return
    rm -rf "$cache/node_modules" "$cache/installed"
    cp "$here/node/package.json" "$lock" "$cache/"
    if (cd "$cache" && timeout 120 npm ci --silent --ignore-scripts --no-audit --no-fund >&2); then
        cp "$lock" "$cache/installed"
    else
        echo 'tests/site: npm cannot install Node 24 (see above): is the package registry reached?' >&2
    fi
}

inside() {
    ip link set lo up
    python3 "$here/servers.py" >"$SITE_WORK/hosts"
    mount --bind "$SITE_WORK/hosts" /etc/hosts
    export PYTHONDONTWRITEBYTECODE=1
    exec python3 "$here/check.py" "$@"
}

case ${1:-} in
    --inside) shift; inside "$@" ;;
    *) main "$@" ;;
esac
