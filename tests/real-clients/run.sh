#!/usr/bin/env bash
# Real Telegram clients through the built binary, in a network namespace that
# has nothing but loopback:
#   tests/real-clients/run.sh [WORD...]    only cases with one of the words
# SMOL_MTPROXY_BIN and SMOL_MTPROXY_RUNNER run another binary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tests/real-clients
venv=.cache/real-clients

main() {
    find_namespace
    sh cross/rust.sh cargo build --quiet --locked --workspace
    install_clients
    local built=${CARGO_TARGET_DIR:-target}/debug
    export SMOL_MTPROXY_BIN=${SMOL_MTPROXY_BIN:-$built/smol-mtproxy}
    export FAKE_TELEGRAM_BIN=$built/fake-telegram
    export WEB_GATEWAY_BIN=$built/web-gateway
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
    echo 'real clients: no network namespace can be made here: run as root, or allow it to users (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)' >&2
    [ -z "${CI:-}" ] || fail
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
}

# Once for every content of requirements.txt.
install_clients() {
    if cmp -s "$here/requirements.txt" "$venv/installed" && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "real clients: installing them in $venv" >&2
    rm -rf "$venv"
    "$(find_python)" -m venv "$venv"
    # The two that have no wheel are built with this very setuptools.
    pip "$(grep '^setuptools==' "$here/requirements.txt")"
    pip --use-pep517 --no-build-isolation -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed"
}

pip() {
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$@" || {
        echo 'real clients: pip cannot install them (see above); is the package index reached?' >&2
        fail
    }
}

find_python() {
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo 'real clients: Python 3.10 or newer with venv is missing: apt-get install python3 python3-venv' >&2
    fail
}

fail() {
    echo '0 passed, 1 failed'
    exit 1
}

main "$@"
