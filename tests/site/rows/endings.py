"""What comes after the server's flight when no client goes on, and how it ends."""

import os
import socket
import time

import tls
from bench import LIMIT, SECRET, SITE_PATIENCE, WAITING, Verdict, both, flight_on, records_of, row
from servers import every, mannered
from talk import Listener

CCS = b"\x14\x03\x03\x00\x01\x01"


def record(length, kind=0x17, version=0x0303):
    return bytes([kind]) + version.to_bytes(2, "big") + length.to_bytes(2, "big") + os.urandom(length)


# What is sent after the flight; None: our end.
ENDINGS = {
    "nothing": lambda: b"",
    "the end": lambda: None,
    "ChangeCipherSpec and nothing": lambda: CCS,
    "a plaintext alert": lambda: b"\x15\x03\x03\x00\x02\x02\x46",
    "HTTP in the clear": lambda: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a random record of 64": lambda: CCS + record(64),
    "a random record of 74": lambda: CCS + record(74),
    "a random record of 500": lambda: CCS + record(500),
    "a random record without ChangeCipherSpec": lambda: record(74),
    "a short record of 10": lambda: CCS + record(10),
    "half a record": lambda: CCS + record(74)[:40],
    "a record too long": lambda: CCS + b"\x17\x03\x03\xff\xff" + os.urandom(100),
    "a record of another kind": lambda: CCS + record(74, kind=0x42),
    "a record of another version": lambda: CCS + record(74, version=0x0505),
    "a second hello": lambda: record(300, kind=0x16),
}


def ending(address, name, secret, after):
    """What comes after the flight: records and the end; and when it came."""
    hello, _ = tls.client_hello(name, secret)
    records = 3 if secret else records_of(address, name)
    with socket.create_connection(address, LIMIT) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(hello)
        flight_on(stream, records)
        began = time.monotonic()
        if after is None:
            stream.shutdown(socket.SHUT_WR)
        elif after:
            stream.sendall(after)
        listener = Listener(stream)
        listener.until_end(SITE_PATIENCE + 10)
        what = [(kind, length) for _, kind, length in listener.events]
        return what, time.monotonic() - began


@row("after the flight", phase=WAITING, over=lambda: [f"{pair}: {what}" for pair in every() for what in ENDINGS])
def after_the_flight(label):
    name, what = label.split(": ", 1)
    pair = next(pair for pair in every() if pair.name == name)
    sent = ENDINGS[what]()
    mannered(pair)
    site, ours = both(
        lambda: ending(pair.site, pair.domain, None, sent), lambda: ending(pair.proxy, pair.domain, SECRET, sent)
    )
    same = site[0] == ours[0] and abs(site[1] - ours[1]) < 0.5
    shown = [f"{what} after {seconds:.2f} s" for what, seconds in (site, ours)]
    return Verdict(same, f"the site {shown[0]}, the proxy {shown[1]}")
