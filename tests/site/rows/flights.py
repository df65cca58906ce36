"""The answer to a client's hello beside the site's."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import tls
from bench import CONNECTIONS, SECRET, Verdict, alike, equal, flight, records_of, row
from servers import domain_of, every_domain, looked

BOTH = ["with ML-KEM", "without ML-KEM"]


def many(address, name, count, *, signed, post_quantum=True):
    hellos = [
        tls.client_hello(name, SECRET if signed else None, post_quantum=post_quantum) for _ in range(count)
    ]
    records = 3 if signed else records_of(address, name)
    with ThreadPoolExecutor(4) as pool:
        flights = list(pool.map(lambda hello: flight(address, hello[0], records), hellos))
    return flights, [session for _, session in hellos]


@functools.cache
def lock_of(label):
    return threading.Lock()


samples = {}


def sampled(label):
    """The flights of the site and of the proxy, made once for all rows."""
    with lock_of(label):
        if label not in samples:
            samples[label] = sample(label)
        return samples[label]


def sample(label):
    where, kind = label.rsplit(", ", 1)
    pair, name = domain_of(where)
    post_quantum = kind == BOTH[0]
    looked(pair)
    site, _ = many(pair.site, name, CONNECTIONS, signed=False, post_quantum=post_quantum)
    return (site, *many(pair.proxy, name, CONNECTIONS, signed=True, post_quantum=post_quantum))


def labels():
    return [f"{label}, {kind}" for label in every_domain() for kind in BOTH]


@row("flight", over=labels)
def shape(label):
    """Suite, group, extensions, kinds of records, the session id."""
    site, ours, sessions = sampled(label)
    if any(one.session != session for one, session in zip(ours, sessions)):
        return Verdict(False, "the session id does not come back")
    if not all([kind for kind, _ in one.records] == [0x16, 0x14, 0x17] for one in ours):
        return Verdict(False, "not exactly one encrypted record")
    return equal({repr(one.shape()) for one in site}, {repr(one.shape()) for one in ours})


@row("flight lengths", over=labels)
def lengths(label):
    site, ours, _ = sampled(label)
    return alike([one.length for one in site], [one.length for one in ours])


@row("encrypted records of a flight", over=every_domain)
def records(label):
    site, ours, _ = sampled(f"{label}, {BOTH[0]}")
    encrypted = [{sum(kind == 0x17 for kind, _ in one.records) for one in many} for many in (site, ours)]
    return equal(*encrypted)


@row("flight bits", over=labels)
def bits(label):
    site, ours, _ = sampled(label)
    for what, part in [
        ("random", lambda one: one.random),
        ("key share", lambda one: one.share),
        ("encrypted record", lambda one: one.encrypted),
    ]:
        ours_stuck, site_stuck = (stuck_bits([part(one) for one in many]) for many in (ours, site))
        # The top bit of an x25519 share is 0 for everybody.
        if ours_stuck != site_stuck:
            return Verdict(False, f"bits of the {what} are fixed: {ours_stuck}, at the site {site_stuck}")
        biased = biased_bits([part(one) for one in ours]) - ours_stuck
        if biased:
            return Verdict(False, f"bits of the {what} lean: {biased}")
    return Verdict(True)


def bit_counts(samples):
    """Of each bit, in how many samples it is set: added up for all bits at once,
    one number a power of two."""
    shortest = min(len(sample) for sample in samples)
    powers = []
    for sample in samples:
        carry = int.from_bytes(sample[:shortest], "big")
        for at, power in enumerate(powers):
            powers[at], carry = power ^ carry, power & carry
        if carry:
            powers.append(carry)
    texts = [f"{power:0{8 * shortest}b}" for power in powers]
    return [sum((bit == "1") << at for at, bit in enumerate(bits)) for bits in zip(*texts)]


def stuck_bits(samples):
    return {at for at, count in enumerate(bit_counts(samples)) if count in (0, len(samples))}


def biased_bits(samples):
    """More than 6.5 standard deviations off: once in ten million runs."""
    half = len(samples) / 2
    limit = 6.5 * (len(samples) ** 0.5) / 2
    return {at for at, count in enumerate(bit_counts(samples)) if abs(count - half) > limit}
