#!/bin/sh
# What OpenWrt gets from us: init script, UCI rendering, first-boot script,
# packages. Needs busybox, make and python3; runs as any user, touches nothing outside
# a temporary directory.
set -u
cd "$(dirname "$0")" || exit 1
TALLY=$(mktemp)
export TALLY
trap 'rm -f "$TALLY"' EXIT

for suite in render.sh files.sh init_script.sh reload.sh split_mode.sh web.sh first_boot.sh packages.sh; do
	[ -f "$suite" ] || continue
	sh "$suite" || [ -s "$TALLY" ] || echo '0 1' >>"$TALLY"
done
awk '{ passed += $1; failed += $2 } END { print passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 || passed == 0 }' "$TALLY"
