"""Recorded hellos: after a restart, and those that carry no date."""

import signal
import time

import tls
from bench import SECRET, Pair, Verdict, flight, row
from servers import of, start_proxy


def served(address, hello):
    """Whether it is a client's: the site has more records."""
    return len(flight(address, hello).records) == 3


def replay_after(nginx, number, how, clock=None):
    """A hello is served, the proxy is restarted, the hello comes again."""
    pair = Pair(f"replay-{number}", nginx.site, (f"127.0.0.{number}", 443), ["ecdsa.test"], f"replay-{number}.log")
    child = start_proxy(pair)
    hello, _ = tls.client_hello("ecdsa.test", SECRET, clock=clock)
    first = served(pair.proxy, hello)
    again = served(pair.proxy, hello)
    if how is not None:
        # What is remembered reaches the disk within moments.
        time.sleep(1)
        child.send_signal(how)
        child.wait()
        child = start_proxy(pair)
    after = served(pair.proxy, hello)
    fresh = served(pair.proxy, tls.client_hello("ecdsa.test", SECRET)[0])
    child.terminate()
    shown = f"served {first}, again {again}, after the restart {after}, another {fresh}"
    return Verdict((first, again, after, fresh) == (True, False, False, True), shown)


@row("a replay after a restart", over=of("nginx"))
def restarted(nginx):
    return replay_after(nginx, 40, signal.SIGTERM)


@row("a replay after a crash", over=of("nginx"))
def crashed(nginx):
    return replay_after(nginx, 41, signal.SIGKILL)


@row("a replay without a date", over=of("nginx"))
def uptime(nginx):
    return replay_after(nginx, 42, None, clock=1_000)


@row("a replay without a date, after a restart", over=of("nginx"))
def uptime_restarted(nginx):
    return replay_after(nginx, 43, signal.SIGTERM, clock=1_000)
