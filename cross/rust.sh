#!/bin/sh
# Runs a command with a Rust toolchain that is new enough first on PATH:
#   cross/rust.sh cargo build
# Looks at the PATH's own cargo, at rustup's, at Debian's, in this order.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml")

is_new_enough() {
    [ -x "$1/cargo" ] && [ -x "$1/rustc" ] || return 1
    have=$("$1/rustc" --version 2>/dev/null | cut -d' ' -f2)
    [ -n "$have" ] &&
        [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ]
}

# A user without a home, as services run as, keeps crates in .cache.
use_a_home() {
    [ -z "${CARGO_HOME:-}" ] || return 0
    home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
    if ! [ -w "$home" ]; then
        CARGO_HOME=$(dirname "$here")/.cache/cargo
        export CARGO_HOME
    fi
}

on_path=$(command -v cargo || true)
for dir in "${on_path%/cargo}" "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" /usr/bin; do
    if [ -n "$dir" ] && is_new_enough "$dir"; then
        PATH=$dir:$PATH
        export PATH
        use_a_home
        exec "$@"
    fi
done
echo "cross/rust.sh: no Rust $need or newer found; run: sh cross/setup.sh build" >&2
exit 1
