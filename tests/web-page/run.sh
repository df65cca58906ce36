#!/usr/bin/env bash
# The bridge page (src/web/page/bridge.html) in Chromium, in a network namespace
# that has nothing but loopback:
#   tests/web-page/run.sh [WORD...]              between a strict app and a strict relay
#   tests/web-page/run.sh --product [WORD...]    at the built binary, with the fake Telegram
# Only cases with all of the words. SMOL_MTPROXY_BIN and CHROMIUM_BIN run others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tests/web-page
venv=.cache/web-page

main() {
    find_namespace
    find_chromium
    install_library
    case " $* " in *" --product "*) build ;; esac
    export PYTHONDONTWRITEBYTECODE=1
    # shellcheck disable=SC2016  # the inner shell's arguments
    exec "${namespace[@]}" sh -c 'ip link set lo up && exec "$@"' sh \
        "$venv/bin/python" "$here/suite.py" "$@"
}

build() {
    local built=${CARGO_TARGET_DIR:-target}/debug
    if [ -z "${FAKE_TELEGRAM_BIN:-}" ] || [ -z "${SMOL_MTPROXY_BIN:-}" ]; then
        sh cross/rust.sh cargo build --quiet --locked --workspace
    fi
    export SMOL_MTPROXY_BIN=${SMOL_MTPROXY_BIN:-$built/smol-mtproxy}
    export FAKE_TELEGRAM_BIN=${FAKE_TELEGRAM_BIN:-$built/fake-telegram}
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

# cross/setup.sh installs it where it may.
find_chromium() {
    export CHROMIUM_BIN=${CHROMIUM_BIN:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
    [ -z "$CHROMIUM_BIN" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo 'web-page: installing chromium' >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null || true
        CHROMIUM_BIN=$(command -v chromium || true)
    fi
    [ -n "$CHROMIUM_BIN" ] || skip 'there is no chromium here, and it cannot be installed'
}

# Once for every content of requirements.txt.
install_library() {
    if cmp -s "$here/requirements.txt" "$venv/installed" && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "web-page: installing the library in $venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --only-binary :all: -r "$here/requirements.txt" || {
        echo 'web-page: pip cannot install it (see above); is the package index reached?' >&2
        fail
    }
    cp "$here/requirements.txt" "$venv/installed"
}

skip() {
    echo "web-page: $1" >&2
    [ -z "${CI:-}" ] || fail
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
}

fail() {
    echo '0 passed, 1 failed'
    exit 1
}

main "$@"
