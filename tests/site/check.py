"""See run.sh. Carries the rows out and tells which of them differ."""

import argparse
import faulthandler
import os
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor, as_completed

import bench
import likeness_test
import servers
from bench import ALONE, BUSY, WAITING

import rows.crowds
import rows.endings
import rows.flights
import rows.replays
import rows.segments
import rows.sessions
import rows.times
import rows.visits


@bench.row("the statistics tell urns apart")
def statistics():
    outcome = unittest.main(likeness_test, argv=["likeness_test"], exit=False).result
    return bench.Verdict(outcome.wasSuccessful() and outcome.testsRun > 0, f"{outcome.failures}{outcome.errors}")


# Rows at a time, in the phases' order.
WORKERS = {BUSY: 8, WAITING: 64, ALONE: 1}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/site/run.sh")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="rows with one of these words in their names")
    parser.add_argument("--report", action="store_true", help="a table of every row, in Markdown")
    parser.add_argument("--list", action="store_true", help="name the rows")
    return parser.parse_args()


def known_differences():
    """What differs.txt says of rows: why they differ."""
    known = {}
    with open(os.path.join(os.path.dirname(__file__), "differs.txt")) as file:
        for line in file:
            line = line.strip()
            if line and not line.startswith("#"):
                name, why = line.split("\t")
                known[name] = why
    return known


def wanted(one, words):
    return not words or any(word in one.name for word in words)


def carry_out(one):
    began = time.monotonic()
    try:
        verdict = one.act()
    except Exception as error:  # noqa: BLE001  (counted, and the rest still runs)
        verdict = bench.Verdict(False, f"{error!r}", broken=True)
    verdict.seconds = time.monotonic() - began
    return verdict


def tell(one, verdict, known):
    """How it is to be counted."""
    why = known.get(one.name, "")
    if verdict.same and why and not why.endswith("?"):
        verdict.detail = "it is equal: take it off differs.txt"
        return "FAILED"
    if verdict.same:
        return "ok"
    if why and not verdict.broken:
        return "stays"
    return "FAILED"


def main():
    options = arguments()
    began = time.monotonic()
    # Says where it hangs, and ends.
    faulthandler.dump_traceback_later(3600 if bench.LONG else 600, exit=True)
    try:
        servers.prepare_files()
        servers.start_sites()
        servers.start_telegram()
        if not options.list:
            servers.start_proxies()
    except Exception as error:  # noqa: BLE001  (nothing can be compared)
        bench.fail(f"the set-up: {error}")
    every = [one for expand in bench.rows for one in expand()]
    chosen = [one for one in every if wanted(one, options.only)]
    if options.list:
        print("\n".join(one.name for one in chosen))
        return 0
    known = known_differences()
    counts = dict.fromkeys(("ok", "FAILED", "stays"), 0)
    table = []
    for phase, workers in WORKERS.items():
        with ThreadPoolExecutor(workers) as pool:
            waiting = {pool.submit(carry_out, one): one for one in chosen if one.phase == phase}
            for done in as_completed(waiting):
                one, verdict = waiting[done], done.result()
                outcome = tell(one, verdict, known)
                counts[outcome] += 1
                table.append((one, outcome, verdict))
                detail = "" if outcome == "ok" else f": {verdict.detail[:1500]}"
                print(f"{outcome:7} {one.name}{detail}", flush=True)
        print(f"# {time.monotonic() - began:.0f} s", file=sys.stderr)
    if options.report:
        report(table)
    for name in set(known) - {one.name for one in every}:
        if not servers.skipped:
            counts["FAILED"] += 1
            print(f"FAILED  {name}: differs.txt has it, but there is no such row")
    for why in servers.skipped:
        print(f"skipped {why}")
    if servers.skipped and os.environ.get("CI"):
        counts["FAILED"] += len(servers.skipped)
    if counts["FAILED"] and "nginx" in servers.pairs:
        print("\n".join(bench.read(servers.pairs["nginx"].log).splitlines()[-40:]), file=sys.stderr)
    for child in bench.children:
        child.terminate()
    print(f"{counts['stays']} differ as they are known to, {len(servers.skipped)} skipped")
    print(f"{counts['ok']} passed, {counts['FAILED']} failed")
    return counts["FAILED"] > 0


def report(table):
    print("\n| row | | seconds | |\n|---|---|---|---|")
    for one, outcome, verdict in sorted(table, key=lambda entry: entry[0].name):
        detail = verdict.detail.replace("|", "/").replace("\n", " ")[:300]
        print(f"| {one.name} | {outcome} | {verdict.seconds:.1f} | {detail} |")
    print()


if __name__ == "__main__":
    sys.exit(main())
