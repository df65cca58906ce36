#!/usr/bin/env bash
# Builds and runs the benchmark; arguments go to it (--quick, --megabytes N).
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${SMOL_MTPROXY_BIN:-}
if [ -z "$binary" ]; then
  cargo build --release --bin smol-mtproxy
  binary=${CARGO_TARGET_DIR:-target}/release/smol-mtproxy
fi
exec cargo run --release -q -p proxy-bench -- --binary "$binary" "$@"
