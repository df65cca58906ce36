"""What every row needs: processes, connections, and how a row is told."""

import functools
import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import likeness
import tls

BINARY, TELEGRAM, WORK, DISK = (os.environ.get(f"SITE_{name}", "") for name in ("BINARY", "TELEGRAM", "WORK", "DISK"))
# Connections a statistic is made of.
CONNECTIONS = int(os.environ.get("SITE_CONNECTIONS", 300))
LONG = CONNECTIONS > 300
SECRET = bytes.fromhex("0123456789abcdef0123456789abcdef")
# What the sites give a client that has not finished its hello, in seconds:
# more than our --handshake-timeout, and nginx's default if there is time.
SITE_PATIENCE = 60 if LONG else 11
LIMIT = SITE_PATIENCE + 15

children = []


def path(*names):
    return os.path.join(WORK, *names)


def run(*words, stdin=b"", limit=LIMIT):
    done = subprocess.run(
        words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit
    )
    return done.stdout


def start(*words, log, **options):
    with open(path(log), "ab") as out:
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", out)
        child = subprocess.Popen(words, stderr=out, **options)
    children.append(child)
    return child


def wait_for(what, condition, limit=LIMIT):
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up waiting for {what}")
        time.sleep(0.02)


def accepts(address):
    try:
        socket.create_connection(address, 1).close()
        return True
    except OSError:
        return False


def read(name):
    with open(path(name), errors="replace") as file:
        return file.read()


# --- connections


def exchange(address, sent, finish=False, limit=LIMIT, later=b""):
    """Everything that comes back until the end, and how long that took; `later` is sent
    two seconds after the rest."""
    began = time.monotonic()
    with socket.create_connection(address, LIMIT) as stream:
        stream.settimeout(limit)
        stream.sendall(sent)
        if later:
            time.sleep(2)
            stream.sendall(later)
        if finish:
            stream.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while data := stream.recv(65536):
                got += data
            end = "closed"
        except ConnectionResetError:
            end = "reset"
        except TimeoutError:
            end = "open"
    return got, end, time.monotonic() - began


def flight_on(stream, records=None, limit=LIMIT):
    """The bytes of an answer to a hello: so many records, or until nothing
    comes any more."""
    got = b""
    stream.settimeout(limit)
    while True:
        data = stream.recv(65536)
        if not data:
            break
        got += data
        count = whole(got)
        if records is not None:
            if count is not None and count >= records:
                break
            continue
        # Whole records, the last of them encrypted, and silence behind.
        stream.settimeout(0.1 if count else limit)
        try:
            stream.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            break
        stream.settimeout(limit)
    return got


def flight(address, hello, records=None):
    with socket.create_connection(address, LIMIT) as stream:
        stream.sendall(hello)
        return tls.Flight(flight_on(stream, records))


def whole(data):
    """How many records, if the last of them is whole and encrypted."""
    at, kind, count = 0, None, 0
    while at + 5 <= len(data):
        kind = data[at]
        at += 5 + int.from_bytes(data[at + 3 : at + 5], "big")
        count += 1
    return count if at == len(data) and kind == 0x17 else None


@functools.cache
def records_of(address, name):
    """How many records that server's flight has."""
    return len(flight(address, tls.client_hello(name)[0]).records)


def both(*tasks):
    """Their results; they run at the same time."""
    results = [None] * len(tasks)

    def carry_out(at, task):
        try:
            results[at] = task()
        except Exception as error:  # noqa: BLE001  (raised below)
            results[at] = error

    threads = [threading.Thread(target=carry_out, args=pair) for pair in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def without_dates(text):
    return re.sub(rb"(?im)^date:.*\r?\n", b"", text)


# --- rows


@dataclass
class Pair:
    """A site and the proxy that passes for it."""

    name: str
    site: tuple
    proxy: tuple
    # Every name that the site has a certificate for, the first one is the
    # one that those see who ask for none.
    domains: list
    log: str
    flags: list = field(default_factory=list)
    child: object = None

    @property
    def domain(self):
        return self.domains[0]

    def __str__(self):
        return self.name


@dataclass
class Row:
    name: str
    act: object
    phase: int


@dataclass
class Verdict:
    same: bool
    detail: str = ""
    # The experiment itself did not work out.
    broken: bool = False
    seconds: float = 0.0


def equal(site, ours, shown=None):
    detail = shown or f"the site {site!r}, the proxy {ours!r}"
    return Verdict(site == ours, detail)


def alike(site, ours):
    """Two samples."""
    chance = likeness.g_test(ours, site)
    detail = f"p = {chance:.2g}, the site {likeness.shown(site)}, the proxy {likeness.shown(ours)}"
    return Verdict(chance >= likeness.UNLIKELY, detail)


def timely(site, ours, slack=0.020):
    """Two samples of seconds: medians within `slack` or a tenth."""
    a, b = likeness.median(site), likeness.median(ours)
    detail = f"the site {a * 1000:.1f} ms, the proxy {b * 1000:.1f} ms"
    return Verdict(abs(a - b) <= max(slack, 0.1 * a), detail)


# Phases: what loads the machine, what waits for a clock, what needs it alone.
BUSY, WAITING, ALONE = range(3)
rows = []


def row(name, *, phase=BUSY, over=None):
    """A row of this name, or with `over` (a list, or a function that makes one
    once everything runs) one for each of its members, which is its argument."""

    def add(function):
        def expand():
            if over is None:
                return [Row(name, function, phase)]
            members = over() if callable(over) else over
            return [
                Row(f"{name} [{member}]", functools.partial(function, member), phase)
                for member in members
            ]

        rows.append(expand)
        return function

    return add


def fail(why):
    print(f"tests/site: {why}", file=sys.stderr)
    print("0 passed, 1 failed")
    sys.exit(1)
