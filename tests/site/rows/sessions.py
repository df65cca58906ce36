"""Records in a session, and how a session ends, beside an HTTPS connection."""

import time

from bench import CONNECTIONS, SITE_PATIENCE, WAITING, Verdict, equal, row
from servers import direct, every, looked, of
from talk import Https, Telegram

# TLS 1.3: a byte of kind, and a tag of 16.
SHORTEST = 17
FULL = 16_000
# No packet of MTProto is shorter, but for its four-byte errors.
PACKETS = [24, 40, 44, 104, 404, 1200, 4000, 16_368, 16_376, 16_384, 16_388, 20_004, 65_536, 100_000]


def answers(address, name):
    """Packets of many lengths come back, alone and in a row."""
    client = Telegram(address, name)
    for length in PACKETS:
        client.send(bytes([1]) * length)
        client.packet()
    for length in PACKETS:
        client.send(bytes([1]) * length)
    for _ in PACKETS:
        client.packet()
    client.download(300_000, 5_000)
    return client


def quick_acks(address, name):
    """Acknowledged at once, answered at once, later or never."""
    client = Telegram(address, name)
    for _ in range(3):
        client.send(bytes([1]) * 40, quick_ack=True)
        client.packet()
        client.order(2, 50, length=40, quick_ack=True)
        client.packet()
    client.order(3, length=40, quick_ack=True)
    client.hear(0.3)
    client.send(bytes([1]) * 40)
    client.packet()
    return client


def not_found(address, name):
    """The DC does not know the key: its answer is four bytes."""
    client = Telegram(address, name)
    client.order(6)
    client.hear(0.3)
    return client


SESSIONS = {"answers": answers, "quick-acks": quick_acks, "error 404": not_found}


def short_records(steps, address, name):
    """Records that TLS 1.3 cannot have, over many sessions."""
    count = max(1, CONNECTIONS // (10 if steps is answers else 30))
    short = []
    for _ in range(count):
        client = steps(address, name)
        short += [length for length in client.listener.lengths() if length < SHORTEST]
        client.close()
    shown = f"{len(short)} records under {SHORTEST} bytes in {count} sessions: {sorted(set(short))}"
    return Verdict(not short, shown)


@row("records a TLS server can send, middle", over=list(SESSIONS))
def records_middle(what):
    nginx = of("nginx")()[0]
    return short_records(SESSIONS[what], nginx.proxy, nginx.domain)


@row("records a TLS server can send, direct", over=list(SESSIONS))
def records_direct(what):
    pair = direct()
    return short_records(SESSIONS[what], pair.proxy, pair.domain)


def habit(lengths):
    """The longest record, and whether most of many bytes go in such."""
    longest = max(lengths)
    steps = []
    for length in lengths:
        if length >= FULL:
            break
        steps.append(length)
    grows = len(set(steps)) > 3
    full = sum(length for length in lengths if length == longest) / sum(lengths)
    return longest, "growing" if grows else "full at once", "most are full" if full > 0.5 else f"{full:.2f} are full"


@row("record sizes of a megabyte", over=every)
def sizes(pair):
    looked(pair)
    browser = Https(pair.site, pair.domain)
    browser.get("/large/million", 1_000_000)
    client = Telegram(pair.proxy, pair.domain)
    client.download(1_000_000, 100_000)
    site, ours = browser.listener.lengths(), client.listener.lengths()
    browser.close()
    client.close()
    shown = f"the site {habit(site)} {site[:8]}…, the proxy {habit(ours)} {ours[:8]}…"
    return equal(habit(site), habit(ours), shown)


@row("records before the first answer", over=every)
def tickets(pair):
    """What a server sends on its own once the handshake is over."""
    browser = Https(pair.site, pair.domain)
    browser.listener.take(0.3)
    client = Telegram(pair.proxy, pair.domain)
    client.order(3, length=40)
    client.hear(0.3)
    site, ours = browser.listener.lengths(), client.listener.lengths()
    browser.close()
    client.close()
    return equal(site, ours)


# --- ends


def idle_end(pair):
    """A browser has its page and says no more: what the site ends with."""
    browser = Https(pair.site, pair.domain)
    browser.get("/", 10)
    time.sleep(0.2)
    browser.listener.take(0.01)
    browser.listener.events.clear()
    browser.listener.until_end(SITE_PATIENCE + 5)
    browser.close()
    return [(kind, length) for _, kind, length in browser.listener.events]


def session_end(pair, opcode=5):
    """The DC ends the session."""
    client = Telegram(pair.proxy, pair.domain)
    client.send(bytes([1]) * 40)
    client.packet()
    client.listener.events.clear()
    client.order(opcode)
    client.listener.until_end()
    client.close()
    return [(kind, length) for _, kind, length in client.listener.events]


@row("the server's end of a session", phase=WAITING, over=every)
def end_middle(pair):
    return equal(idle_end(pair), session_end(pair))


@row("the server's end of a session, direct", phase=WAITING, over=of("nginx"))
def end_direct(pair):
    return equal(idle_end(pair), session_end(direct()))


def after(connection, act):
    """What comes once `act` has been done, and how it ends."""
    time.sleep(0.2)
    connection.listener.take(0.01)
    connection.listener.events.clear()
    act(connection.stream)
    connection.listener.until_end(SITE_PATIENCE + 5)
    connection.close()
    return [(kind, length) for _, kind, length in connection.listener.events]


def browsing(pair):
    browser = Https(pair.site, pair.domain)
    browser.get("/", 10)
    return browser


def talking(pair):
    client = Telegram(pair.proxy, pair.domain)
    client.send(bytes([1]) * 40)
    client.packet()
    return client


MANGLED = {
    "the client's end": lambda stream: stream.shutdown(1),
    "a record of another kind": lambda stream: stream.sendall(b"\x42\x03\x03\x00\x20" + bytes(32)),
    "a record too long": lambda stream: stream.sendall(b"\x17\x03\x03\xff\xff" + bytes(32)),
    "a plaintext alert": lambda stream: stream.sendall(b"\x15\x03\x03\x00\x02\x02\x46"),
    "HTTP in the clear": lambda stream: stream.sendall(b"GET / HTTP/1.1\r\n\r\n"),
}


@row("in a session", phase=WAITING, over=lambda: [f"{pair}: {what}" for pair in every() for what in MANGLED])
def in_a_session(label):
    name, what = label.split(": ", 1)
    pair = next(pair for pair in every() if pair.name == name)
    return equal(after(browsing(pair), MANGLED[what]), after(talking(pair), MANGLED[what]))
