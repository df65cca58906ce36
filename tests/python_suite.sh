# For scripts that run a suite in Python beside the built programs, in a network namespace
# that has nothing but loopback. They set `suite`, its folder in tests, and may define
# `build` and `install`, which fills the environment in $venv; then they call `run_suite "$@"`.
# SMOL_MTPROXY_BIN runs another binary.
# shellcheck shell=bash
here=tests/$suite
venv=.cache/$suite

run_suite() {
    find_namespace
    build
    find_libraries
    local built=${CARGO_TARGET_DIR:-target}/debug
    export SMOL_MTPROXY_BIN=${SMOL_MTPROXY_BIN:-$built/smol-mtproxy}
    export FAKE_TELEGRAM_BIN=${FAKE_TELEGRAM_BIN:-$built/fake-telegram}
    export WEB_GATEWAY_BIN=${WEB_GATEWAY_BIN:-$built/web-gateway}
    export PYTHONDONTWRITEBYTECODE=1
    # shellcheck disable=SC2016  # the inner shell's arguments
    exec "${namespace[@]}" sh -c 'ip link set lo up && exec "$@"' sh \
        "$venv/bin/python" "$here/suite.py" "$@"
}

# A suite that needs none of it defines it anew.
build() {
    if [ -z "${FAKE_TELEGRAM_BIN:-}" ] || [ -z "${SMOL_MTPROXY_BIN:-}" ]; then
        sh cross/rust.sh cargo build --quiet --locked --workspace --features smol-mtproxy/server
    fi
}

# As root a network namespace alone, else inside one of users.
find_namespace() {
    for options in --net "--user --map-root-user --net"; do
        # shellcheck disable=SC2206  # a list of words
        namespace=(unshare $options)
        "${namespace[@]}" ip link set lo up 2>/dev/null && return
    done
    skip 'no network namespace can be made here: run as root, or allow it to users (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)'
}

# Installed once for every content of requirements.txt.
find_libraries() {
    if cmp -s "$here/requirements.txt" "$venv/installed" && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "$suite: installing its libraries in $venv" >&2
    rm -rf "$venv"
    "$(find_python)" -m venv "$venv"
    install
    cp "$here/requirements.txt" "$venv/installed"
}

# A suite of its own kind defines it anew.
install() {
    pip --only-binary :all: -r "$here/requirements.txt"
}

pip() {
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$@" || {
        echo "$suite: pip cannot install them (see above); is the package index reached?" >&2
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
    echo "$suite: Python 3.10 or newer with venv is missing: apt-get install python3 python3-venv" >&2
    fail
}

# CI has what it needs.
skip() {
    echo "$suite: $1" >&2
    [ -z "${CI:-}" ] || fail
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
}

fail() {
    echo '0 passed, 1 failed'
    exit 1
}
