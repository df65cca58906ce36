#!/usr/bin/env python3
"""Holds the sizes of the router binaries to cross/sizes.toml.

    sizes.py check|record lite|full TARGET BINARY
    sizes.py table                          the table of doc/routers.md
"""

import re
import sys
import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("sizes.toml")
GROWTH = 1.03


def main():
    match sys.argv[1:]:
        case ["check", features, target, binary]:
            sys.exit(check(features, target, Path(binary).stat().st_size))
        case ["record", features, target, binary]:
            record(features, target, Path(binary).stat().st_size)
        case ["table"]:
            table()
        case _:
            sys.exit(__doc__)


def check(features, target, size):
    bar = tomllib.loads(FILE.read_text())[features][target]
    recorded, goal = bar["recorded"], bar["goal"]
    if not recorded:
        return f"{target} {features}: {size} bytes, nothing recorded to hold it to: cross/sizes.py record"
    change = f"{(size / recorded - 1) * 100:+.1f} % on the recorded {recorded}"
    missed = f", OVER THE GOAL of {goal} by {size - goal}" if size > goal else f", goal {goal}"
    print(f"{target} {features}: {size} bytes, {change}{missed}")
    if size > recorded * GROWTH:
        return f"{target} {features}: grew more than 3 %; if it is worth it: cross/sizes.py record {features} {target} BINARY"
    return 0


def record(features, target, size):
    section = re.compile(rf"(\[{features}\.{target}\]\nrecorded = )\d+")
    text, count = section.subn(rf"\g<1>{size}", FILE.read_text())
    if count != 1:
        sys.exit(f"no section [{features}.{target}] in {FILE}")
    FILE.write_text(text)


def table():
    bars = tomllib.loads(FILE.read_text())
    print("| target | lite (goal) | full (goal) |\n|---|---|---|")
    for target in bars["lite"]:
        sizes = [f"{bar['recorded'] / 1024:.0f} KiB ({bar['goal'] / 1024:.0f})" for bar in (bars[features][target] for features in ("lite", "full"))]
        print(f"| `{target}` | {' | '.join(sizes)} |")


main()
