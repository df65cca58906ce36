#!/usr/bin/env bash
# Static musl binaries for routers, without Docker:
#   cross/build.sh [TARGET|all] [minimal|release] [lite|full]
# lite is the build without TLS. Each binary lands in
# target/cross/bin/smol-mtproxy-TARGET-PROFILE-FEATURES.
set -euo pipefail
# shellcheck source=cross/toolchain.sh
. "$(dirname "${BASH_SOURCE[0]}")/toolchain.sh"

target=${1:-all} profile=${2:-minimal} features=${3:-lite}
jobs=${JOBS:-2}

# No unwind tables: panics abort, nothing walks the stack.
extra_flags=(-C force-unwind-tables=no)
# The programs are not position-independent anyway; code that could be is 70 KiB
# more on MIPS.
extra_flags+=(-C relocation-model=static)
extra_flags+=(-C "link-arg=-Wl,-T,$ROOT/cross/link.ld")
# An empty feature list leaves the backtrace printer out of std.
std_features=
case $profile in
    minimal)
        std_features=optimize_for_size
        # A panic ends the process without its message, which profile release
        # would print: 60 KiB on MIPS.
        extra_flags+=(-Zunstable-options -Cpanic=immediate-abort)
        # SHA-256 where the CPU has no instructions for it: a loop instead of the
        # rounds written out, 10 KiB on MIPS. Handshakes only.
        extra_flags+=(--cfg 'sha2_backend_soft="compact"')
        ;;
    release) ;;
    *) echo "cross/build.sh: unknown profile '$profile': minimal or release" >&2; exit 2 ;;
esac
case $features in
    lite) feature_flags=(--no-default-features) ;;
    full) feature_flags=() ;;
    *) echo "cross/build.sh: unknown features '$features': lite or full" >&2; exit 2 ;;
esac

main() {
    prepare_toolchain
    bin=$CARGO_TARGET_DIR/bin
    mkdir -p "$bin"
    for one in $(expand_targets "$target"); do
        build "$one"
    done
}

build() {
    local target=$1 start=$SECONDS out
    out=$bin/smol-mtproxy-$target-$profile-$features
    # One a target: cargo lets only one build at a time into a directory.
    CARGO_TARGET_DIR=$ROOT/target/cross/$target
    set_target_flags "$target" "${extra_flags[@]}" $(size_flags "$target")
    (cd "$ROOT" && cargo zigbuild --locked -j"$jobs" --profile "$profile" --target "$target" \
        "${feature_flags[@]}" -Zbuild-std=std,panic_abort "-Zbuild-std-features=$std_features")
    cp "$CARGO_TARGET_DIR/$target/$profile/smol-mtproxy" "$out"
    check_binary "$target" "$out"
    python3 "$ROOT/cross/strip.py" "$out"
    echo "$target $profile $features: $(stat -c %s "$out") bytes, $((SECONDS - start)) s"
}

# What LLVM has for size and does not do by itself.
size_flags() {
    [ "$profile" = minimal ] || return 0
    case $1 in
        mips-* | mipsel-*)
            # Instructions from after a branch for its delay slot, instead of a
            # nop: 10 KiB.
            echo "-C llvm-args=-disable-mips-df-forward-search=false" \
                "-C llvm-args=-disable-mips-df-succbb-search=false"
            # Rust has looked at the divisor; short tables of jumps are longer
            # than their comparisons; fewer spills: 3 KiB together.
            echo "-C llvm-args=-mno-check-zero-division" \
                "-C llvm-args=-min-jump-table-entries=12" \
                "-C llvm-args=-split-spill-mode=size"
            # More than two words are copied by memcpy: 13 KiB. (Calls at a function's
            # end as jumps, -mips-tail-calls, would be 6 KiB more; no compiler for
            # MIPS has them on, so few have ever run that code.)
            echo "-C llvm-args=-max-store-memcpy=2" \
                "-C llvm-args=-max-store-memmove=2" "-C llvm-args=-max-store-memset=2"
            ;;
        armv7-*)
            # Thumb-2, whose usual instructions are half as long: a third less of code.
            echo "-C target-feature=+thumb-mode"
            ;;
        aarch64-*)
            # Registers are saved and restored by functions that all functions
            # share: 21 KiB. Then what else is alike, as often as it pays.
            echo "-C llvm-args=-homogeneous-prolog-epilog" \
                "-C llvm-args=-machine-outliner-reruns=3"
            ;;
    esac
}

check_binary() {
    if ! file "$2" | grep -Eq 'statically linked|static-pie linked'; then
        echo "cross: $2 is not static" >&2
        exit 1
    fi
    case $1 in
        mips*)
            if ! readelf -A "$2" | grep -q 'FP ABI: Soft float'; then
                echo "cross: $2 is not soft float" >&2
                exit 1
            fi ;;
    esac
}

main
