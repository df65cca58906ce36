#!/usr/bin/env bash
# Real Telegram clients through the built binary, in a network namespace that
# has nothing but loopback:
#   tests/real-clients/run.sh [WORD...]    only cases with one of the words
# SMOL_MTPROXY_BIN and SMOL_MTPROXY_RUNNER run another binary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
suite=real-clients
. tests/python_suite.sh

# The two that have no wheel are built with this very setuptools.
install() {
    pip "$(grep '^setuptools==' "$here/requirements.txt")"
    pip --use-pep517 --no-build-isolation -r "$here/requirements.txt"
}

run_suite "$@"
