#!/bin/sh
# The Worker's script, by Node in place of Cloudflare. Without Node nothing is tested.
set -u
cd "$(dirname "$0")" || exit 1
if ! command -v node >/dev/null; then
    echo 'worker: skipped, as there is no node here'
    exit 0
fi
exec node worker.mjs
