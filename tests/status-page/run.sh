#!/usr/bin/env bash
# The status page (src/cli/run/status) in Chromium at the built binary, in a network namespace
# that has nothing but loopback:
#   tests/status-page/run.sh [--quick] [--pictures DIR]
# SMOL_MTPROXY_BIN and CHROMIUM_BIN run others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
suite=status-page
. tests/python_suite.sh

# cross/setup.sh installs it.
export CHROMIUM_BIN=${CHROMIUM_BIN:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$CHROMIUM_BIN" ]; then
    case " $* " in *" --quick "*) skip 'there is no chromium here' ;; esac
    echo "$suite: there is no chromium here: apt-get install chromium" >&2
    fail
fi

run_suite "$@"
