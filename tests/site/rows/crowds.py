"""Many connections of one prober, from another network."""

from bench import ALONE, WAITING, Verdict, both, equal, row
from outside import held as hold
from servers import ask_outside, of, outer


def crowd(act, count):
    pair = outer()
    site, ours = (ask_outside(act, address, pair.domain, count) for address in (pair.site, pair.proxy))
    good = site.get("answered") == count
    verdict = equal(site, ours)
    return Verdict(good and verdict.same, verdict.detail, broken=not good)


@row("equal openings held", phase=WAITING, over=[9, 30])
def held(count):
    return crowd("held", count)


@row("equal openings held, from this machine", phase=WAITING, over=of("nginx"))
def held_here(nginx):
    """From where we ourselves may come, in a loop."""
    return equal(*both(*[lambda to=to: hold(to, nginx.domain, 9) for to in (nginx.site, nginx.proxy)]))


@row("a burst of hellos", phase=ALONE, over=[900])
def burst(count):
    return crowd("burst", count)
