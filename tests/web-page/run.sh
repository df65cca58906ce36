#!/usr/bin/env bash
# The bridge page (src/web/page/bridge.html) in Chromium, in a network namespace
# that has nothing but loopback:
#   tests/web-page/run.sh [WORD...]              between a strict app and a strict relay
#   tests/web-page/run.sh --product [WORD...]    at the built binary, with the fake Telegram
#   tests/web-page/run.sh --quick                some of both, in less than a minute
#   tests/web-page/run.sh --measure              times and rates at the built binary
# Only cases with all of the words. SMOL_MTPROXY_BIN and CHROMIUM_BIN run others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
suite=web-page
. tests/python_suite.sh

# The relay of these tests needs nothing built.
case " $* " in *" --"*) ;; *) build() { :; } ;; esac

# cross/setup.sh installs it.
export CHROMIUM_BIN=${CHROMIUM_BIN:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$CHROMIUM_BIN" ]; then
    case " $* " in *" --quick "*) skip 'there is no chromium here' ;; esac
    echo "$suite: there is no chromium here: apt-get install chromium" >&2
    fail
fi

run_suite "$@"
