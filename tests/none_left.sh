#!/bin/sh
# Runs a command that tests the proxy, and fails if a proxy that came of it is
# still there some seconds after its end:
#   sh tests/none_left.sh cargo test
# All that comes of the command has a mark in its environment, so what else runs
# on this machine does not matter. What is left is ended.
set -u

SECONDS_TO_END=5

mark=SMOL_MTPROXY_TEST_RUN=$$-$(date +%s)
status=0
env "$mark" "$@" || status=$?

# The proxies with the mark, by process id.
left() {
    for environment in $(grep -lsxzF "$mark" /proc/[0-9]*/environ); do
        process=${environment%/environ}
        tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -Eqx '(.*/)?smol-mtproxy[^/]*' &&
            echo "${process#/proc/}"
    done
}

waited=0
while [ -n "$(left)" ] && [ "$waited" -lt "$SECONDS_TO_END" ]; do
    sleep 1
    waited=$((waited + 1))
done
for process in $(left); do
    status=1
    echo "left running: $process, $(tr '\0' ' ' <"/proc/$process/cmdline")" >&2
    kill -KILL "$process"
done
exit "$status"
