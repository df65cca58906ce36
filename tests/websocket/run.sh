#!/usr/bin/env bash
# A WebSocket library's second opinion: its client at the web front of the fake
# Telegram, and its server as a web front for the proxy, in a network namespace
# that has nothing but loopback:
#   tests/websocket/run.sh [WORD...]    only cases with one of the words
# SMOL_MTPROXY_BIN runs another binary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
suite=websocket
. tests/python_suite.sh

run_suite "$@"
