#!/usr/bin/env bash
# Builds for each target, holds the sizes to cross/sizes.toml and runs the core
# of the integration tests with the cross-built binary, under qemu's user-mode
# emulation where it is not this machine's own:
#   cross/test.sh [TARGET|all] [whole|core]
# whole: both builds of each target; on 32-bit big endian, where byte order and
# word size show, more tests, the unit tests and the build without TLS too;
# memory is weighed where nothing is emulated. What loads the proxy until it
# slows down (tests/backpressure.rs and the like) says nothing new under an
# emulator.
# core, for CI: one build a target, and of the tests what shows that it works.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=cross/toolchain.sh
. "$here/toolchain.sh"

# Every transport over both routes, migration, real hellos, with the full build
# the link with TLS and its certificates.
core=(session migration captures)
core_full=(split_tls)
# Many clients, and all that a link carries.
more=(multiplex split)
# Of the WEB proxy, words in the names of its tests: pages, requests, what strangers see,
# sessions by both carriers, by a web server and, with the full build, by TLS.
web=(carriers:: page:: requests:: strictness:: cover:: sessions::direct_by tls::direct)
# And all else there is of it but load.
web_more=(life:: limits:: reference:: sessions:: split:: tls::one tls::m tls::a_stop tls::hosts)

wanted=${1:-all} suite=${2:-whole}
case $suite in whole | core) ;; *) echo "cross/test.sh: unknown suite '$suite': whole or core" >&2; exit 2 ;; esac
passed=0 failed=0

main() {
    read -ra targets <<<"$(expand_targets "$wanted")"
    (prepare_toolchain) || exit 1
    build_all
    echo "== built in $SECONDS s"
    for target in "${targets[@]}"; do
        for features in $(builds_of "$target"); do
            step "build $target $features" built "$features" || continue
            step "size $target $features" python3 "$here/sizes.py" check "$features" "$target" "$(binary "$features")"
        done
        if [ "$suite" = core ]; then
            core_of "$target"
            continue
        fi
        tests=("${core[@]}" "${core_full[@]}")
        case $target in
            x86_64-* | mips-*) tests+=("${more[@]}") ;;
        esac
        step "integration tests on $target" integration_tests full url "${tests[@]}"
        case $target in
            x86_64-*)
                step "memory of $target, lite" integration_tests lite file memory memory_limit
                step "what else there is of $target, lite" integration_tests lite file test_run log_streams
                step "memory of $target, full" integration_tests full url memory memory_limit
                ;;
            mips-*)
                step "integration tests on $target, lite" integration_tests lite file session
                step "WEB proxy on $target" integration_tests full url web_proxy -- "${web[@]}" "${web_more[@]}"
                step "WEB proxy on $target, lite" integration_tests lite file web_proxy -- "${web[@]}" "${web_more[@]}"
                step "unit tests on $target" unit_tests "$target"
                ;;
        esac
    done
    echo "cross: $passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# Which builds of a target a suite looks at. Between them, the core has both
# builds, both byte orders and both word sizes.
builds_of() {
    case $suite-$1 in
        whole-*) echo lite full ;;
        core-armv7-* | core-mipsel-* | core-x86_64-*) echo lite ;;
        core-*) echo full ;;
    esac
}

core_of() {
    case $(builds_of "$1") in
        lite) step "integration tests on $1, lite" integration_tests lite file session ;;
        full) step "integration tests on $1" integration_tests full url session "${core_full[@]}" ;;
    esac
    case $1 in
        x86_64-*) step "memory and more of $1, lite" integration_tests lite file memory test_run log_streams ;;
        mips-*)
            step "more integration tests on $1" integration_tests full url migration captures
            step "WEB proxy on $1" integration_tests full url web_proxy -- "${web[@]}"
            ;;
        mipsel-*) step "WEB proxy on $1, lite" integration_tests lite file web_proxy -- sessions::direct_by_websocket ;;
    esac
}

# The last step of a build, linking, takes one core: two targets at a time.
build_all() {
    logs=$(mktemp -d)
    trap 'rm -rf "$logs"' EXIT
    for target in "${targets[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
        build_each >"$logs/$target" 2>&1 &
    done
    wait
}

build_each() {
    for features in $(builds_of "$target"); do
        rm -f "$(binary "$features")"
        "$here/build.sh" "$target" minimal "$features"
    done
}

built() {
    tail -n 40 "$logs/$target"
    : >"$logs/$target"
    [ -f "$(binary "$1")" ]
}

step() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    if "$@"; then
        passed=$((passed + 1))
        echo "== $name: ok, $((SECONDS - start)) s"
    else
        failed=$((failed + 1))
        echo "== $name: FAILED, $((SECONDS - start)) s"
        return 1
    fi
}

binary() { echo "$ROOT/target/cross/bin/smol-mtproxy-$target-minimal-$1"; }

# integration_tests FEATURES LISTS TEST... [-- WORD...]: the host's own tests, driving the
# emulated binary; of these those with one of the words in their names. Without TLS it
# takes Telegram's lists from files.
integration_tests() (
    export SMOL_MTPROXY_BIN SMOL_MTPROXY_LISTS=$2
    SMOL_MTPROXY_BIN=$(binary "$1")
    runner=$(emulator "$target")
    [ -z "$runner" ] || export SMOL_MTPROXY_RUNNER=$runner
    shift 2
    local programs=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        programs+=("--test=$1")
        shift
    done
    cd "$ROOT" &&
        sh tests/none_left.sh sh cross/rust.sh cargo test --locked --no-fail-fast "${programs[@]}" "$@"
)

# The rooms that are bytes and numbers only; the others' tests have clocks and
# sockets in them, for which an emulated debug build is too slow.
unit_tests() (
    prepare_toolchain
    set_target_flags "$1"
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/$1
    name=$(tr 'a-z-' 'A-Z_' <<<"$1")
    export "CARGO_TARGET_${name}_RUNNER=$(emulator "$1")"
    cd "$ROOT"
    unit_test=(cargo-zigbuild test --locked -j"${JOBS:-2}" --lib --target "$1"
        -Zbuild-std=std,panic_unwind,test,proc_macro -Zbuild-std-features=)
    "${unit_test[@]}" -p smol-mtproxy-wire -p smol-mtproxy-ciphers && "${unit_test[@]}" -p smol-mtproxy -- guard::
)

main
