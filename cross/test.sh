#!/usr/bin/env bash
# Builds for each target, holds the sizes to cross/sizes.toml and runs the core
# of the integration tests with the cross-built binary, under qemu's user-mode
# emulation where it is not this machine's own:
#   cross/test.sh [TARGET|all]
# On 32-bit big endian, where byte order and word size show, the unit tests and
# the build without TLS run too. What loads the proxy until it slows down
# (tests/backpressure.rs and the like) says nothing new under an emulator.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=cross/toolchain.sh
. "$here/toolchain.sh"

# Every transport over both routes, migration, many clients, real hellos.
core=(session migration multiplex captures)

wanted=${1:-all}
passed=0 failed=0

main() {
    for target in $(expand_targets "$wanted"); do
        for features in lite full; do
            step "build $target $features" "$here/build.sh" "$target" minimal "$features" || continue
            step "size $target $features" python3 "$here/sizes.py" check "$features" "$target" "$(binary "$features")"
        done
        step "integration tests on $target" integration_tests full url
        case $target in
            mips-*)
                step "integration tests on $target, lite" integration_tests lite file
                step "unit tests on $target" unit_tests "$target"
                ;;
        esac
    done
    echo "cross: $passed passed, $failed failed"
    [ "$failed" = 0 ]
}

step() {
    local name=$1
    shift
    echo "== $name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "== $name: FAILED"
        return 1
    fi
}

binary() { echo "$ROOT/target/cross/bin/smol-mtproxy-$target-minimal-$1"; }

# integration_tests FEATURES LISTS: the host's own tests, driving the emulated
# binary. Without TLS it takes Telegram's lists from files.
integration_tests() (
    export SMOL_MTPROXY_BIN SMOL_MTPROXY_LISTS=$2
    SMOL_MTPROXY_BIN=$(binary "$1")
    runner=$(emulator "$target")
    [ -z "$runner" ] || export SMOL_MTPROXY_RUNNER=$runner
    cd "$ROOT" && sh cross/rust.sh cargo test --locked --no-fail-fast "${core[@]/#/--test=}"
)

unit_tests() (
    prepare_toolchain
    set_target_flags "$1"
    name=$(tr 'a-z-' 'A-Z_' <<<"$1")
    export "CARGO_TARGET_${name}_RUNNER=$(emulator "$1")"
    cd "$ROOT" && cargo-zigbuild test --locked -j"${JOBS:-2}" -p smol-mtproxy -p smol-mtproxy-ciphers --lib --target "$1" \
        -Zbuild-std=std,panic_unwind,test,proc_macro -Zbuild-std-features=
)

main
