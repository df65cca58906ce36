#!/bin/sh
# Web servers beside the WEB proxy that shows them: the same is asked of both, over
# --web-listen and over the TLS of a port of clients.
#   tests/cover/run.sh [BINARY [WORD...]]
#   tests/cover/run.sh --at PROXY:PORT SERVER:PORT [WORD...]
# Without --at it starts Debian's nginx, a site that computes (origin.py) and the proxies
# in front of them. The rows are in rows.py and faces.py; those that are known to differ in
# differs.txt, with why.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

if [ "${1:-}" = --at ]; then
    exec python3 "$here/check.py" "$@"
fi
command -v nginx >/dev/null || { echo 'tests/cover: nginx is not installed' >&2; exit 1; }

binary=${SMOL_MTPROXY_BIN:-}
case ${1:-} in '') ;; *) binary=$1; shift ;; esac
if [ -z "$binary" ]; then
    sh "$here/../../cross/rust.sh" cargo build --quiet --locked --package smol-mtproxy --features server
    binary=$here/../../${CARGO_TARGET_DIR:-target}/debug/smol-mtproxy
fi
exec python3 "$here/check.py" "$binary" "$@"
