#!/usr/bin/env bash
# Fuzzes every parser of src/wire, and tables, for SECONDS each (default 30).
# tests/fuzz/run.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-30}
shift || true
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked

# The coverage that libFuzzer needs is a -Z flag of rustc; the parsers have no
# unsafe code for a sanitizer to watch.
export RUSTC_BOOTSTRAP=1
fuzz=(--fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none)

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir tests/fuzz)

# cargo fuzz has no --locked of its own.
cargo tree --locked --manifest-path tests/fuzz/Cargo.toml >/dev/null
cargo fuzz build "${fuzz[@]}"
for target in "${targets[@]}"; do
    seeds=tests/fuzz/seeds/$target
    corpus=target/fuzz/corpus/$target
    log=target/fuzz/$target.log
    mkdir -p "$corpus"
    if ! cargo fuzz run "${fuzz[@]}" "$target" "$corpus" "$seeds" -- \
        -max_total_time="$seconds" -max_len=8192 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/$target-" >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "fuzz: $target failed; the input lies in target/fuzz/$target-*, all output in $log"
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $target ok, $runs inputs in $seconds s"
done
