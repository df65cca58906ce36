#!/usr/bin/env bash
# A WebSocket library's second opinion: its client at the web front of the fake
# Telegram, and its server as a web front for the proxy, in a network namespace
# that has nothing but loopback:
#   tests/websocket/run.sh [WORD...]    only cases with one of the words
# SMOL_MTPROXY_BIN runs another binary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tests/websocket
venv=.cache/websocket

main() {
    find_namespace
    local built=${CARGO_TARGET_DIR:-target}/debug
    if [ -z "${FAKE_TELEGRAM_BIN:-}" ] || [ -z "${SMOL_MTPROXY_BIN:-}" ]; then
        sh cross/rust.sh cargo build --quiet --locked --workspace
    fi
    install_library
    export SMOL_MTPROXY_BIN=${SMOL_MTPROXY_BIN:-$built/smol-mtproxy}
    export FAKE_TELEGRAM_BIN=${FAKE_TELEGRAM_BIN:-$built/fake-telegram}
    export PYTHONDONTWRITEBYTECODE=1
    # shellcheck disable=SC2016  # the inner shell's arguments
    exec "${namespace[@]}" sh -c 'ip link set lo up && exec "$@"' sh \
        "$venv/bin/python" "$here/suite.py" "$@"
}

# As root a network namespace alone, else inside one of users.
find_namespace() {
    for options in --net "--user --map-root-user --net"; do
        # shellcheck disable=SC2206  # a list of words
        namespace=(unshare $options)
        "${namespace[@]}" ip link set lo up 2>/dev/null && return
    done
    echo 'websocket: no network namespace can be made here: run as root, or allow it to users (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)' >&2
    [ -z "${CI:-}" ] || fail
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
}

# Once for every content of requirements.txt.
install_library() {
    if cmp -s "$here/requirements.txt" "$venv/installed" && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "websocket: installing the library in $venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --only-binary :all: -r "$here/requirements.txt" || {
        echo 'websocket: pip cannot install it (see above); is the package index reached?' >&2
        fail
    }
    cp "$here/requirements.txt" "$venv/installed"
}

fail() {
    echo '0 passed, 1 failed'
    exit 1
}

main "$@"
