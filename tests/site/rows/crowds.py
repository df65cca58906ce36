"""Many connections of one prober, from another network."""

from bench import ALONE, WAITING, Verdict, equal, row
from servers import ask_outside, outer


def crowd(act, count):
    pair = outer()
    site, ours = (ask_outside(act, address, pair.domain, count) for address in (pair.site, pair.proxy))
    good = site.get("answered") == count
    verdict = equal(site, ours)
    return Verdict(good and verdict.same, verdict.detail, broken=not good)


@row("equal openings held", part="D", phase=WAITING, over=[9, 30])
def held(count):
    return crowd("held", count)


@row("a burst of hellos", part="D", phase=ALONE, over=[900])
def burst(count):
    return crowd("burst", count)
