"""What packets show: in how many segments a flight comes, and who answers."""

import socket

import tls
from bench import LIMIT, SECRET, WAITING, Verdict, flight_on, records_of, row
from servers import domain_of, every, every_domain, looked
from wire import Tap

FLIGHTS = 10


def segments(address, name, secret):
    """The lengths of the segments of some flights, without their last."""
    records = 3 if secret else records_of(address, name)
    seen = set()
    with Tap(address) as tap:
        ports = []
        for _ in range(FLIGHTS):
            with socket.create_connection(address, LIMIT) as stream:
                ports.append(stream.getsockname()[1])
                stream.sendall(tls.client_hello(name, secret)[0])
                flight_on(stream, records)
    for port in ports:
        seen.add(tuple(tap.segments[port][:-1]))
    return seen


@row("segments of a flight", phase=WAITING, over=every_domain)
def of_a_flight(label):
    pair, name = domain_of(label)
    looked(pair)
    site, ours = segments(pair.site, name, None), segments(pair.proxy, name, SECRET)
    return Verdict(site == ours, f"before the last one: the site {sorted(site)}, the proxy {sorted(ours)}")


@row("SYN-ACK", phase=WAITING, over=every)
def greeting(pair):
    seen = []
    for address in (pair.site, pair.proxy):
        with Tap(address) as tap:
            for _ in range(3):
                socket.create_connection(address, LIMIT).close()
        seen.append(tap.greetings)
    return Verdict(bool(seen[0]) and seen[0] == seen[1], f"the site {seen[0]}, the proxy {seen[1]}")
