"""Whether a port of clients shows one TLS server's face, whatever is asked of it: the same
whatever name a hello has, as nginx with OpenSSL would, and to clients of fake TLS as to all
others."""

import os
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import servers
from ask import Plain, Talk, Tls, ask
from hello import KINDS, PROBES, figure, hello

sys.path.append(os.path.join(servers.HERE, "..", "site"))
import tls as fake_tls  # noqa: E402

QUIET = 0.6
SECOND_QUIET = 4.0
FLIGHTS = 80
NAMES = {
    "another host": b"app.example.com",
    "a name of nobody": b"other.example",
    "no name": None,
    "capitals": b"WWW.Example.COM",
    "a dot behind it": b"www.example.com.",
    "an address": b"127.0.0.1",
    "garbage": b"\xff\0 \x01",
    "an empty name": b"",
    "a very long name": b"a" * 300,
    "the fronting site": b"site.example.com",
}


# Where a server need not say what is wrong with it.
WELL_FORMED = ("another host", "no name", "capitals", "a dot behind it", "an address", "the fronting site")


def seen(address, row, quiet=QUIET):
    return figure(ask(address, row, quiet=quiet))


def nameless(one):
    """Without the extension that answers to a name."""
    return tuple(part.replace("[0 ", "[") if isinstance(part, str) else part for part in one)


def roughly(one):
    """Without what tells OpenSSL from rustls in every answer, which has rows of its own:
    the order of extensions, ec_point_formats, and how many records a flight has."""
    rough = []
    for part in one:
        if isinstance(part, str) and "[" in part:
            part, extensions = part.rstrip("]").split("[")
            part += " ".join(sorted(set(extensions.split()) - {"b"}))
        if part != "encrypted" or rough[-1:] != ["encrypted"]:
            rough.append(part)
    return tuple(rough)


def beside(one, other, quiet=QUIET):
    """Both figures; once more and with more patience if they differ."""
    both = one(quiet), other(quiet)
    return both if both[0] == both[1] else (one(SECOND_QUIET), other(SECOND_QUIET))


def rows(all_servers):
    door, nginx = all_servers.address("door"), all_servers.address("nginx_tls")
    fronted = all_servers.address("fronted")

    def compared(row, proxy=door, view=roughly):
        return lambda: beside(lambda quiet: view(seen(proxy, row, quiet)), lambda quiet: view(seen(nginx, row, quiet)))

    def other_name(name, kind):
        return lambda: beside(
            lambda quiet: nameless(seen(door, [hello(name, **KINDS[kind])], quiet)),
            lambda quiet: nameless(seen(door, [hello(b"www.example.com", **KINDS[kind])], quiet)),
        )

    for kind, parts in KINDS.items():
        yield f"hello: {kind} [nginx]", compared([hello(b"www.example.com", **parts)])
        yield f"hello: {kind} [a name of nobody]", other_name(b"other.example", kind)
    for what, name in NAMES.items():
        for kind in ("as a browser's", "TLS 1.2", "TLS 1.3, no share", "ALPN of nobody", "TLS 1.1"):
            if what in WELL_FORMED:
                yield f"hello: {kind} [{what}]", other_name(name, kind)
    for kind in ("as a browser's", "TLS 1.2"):
        yield f"hello: {kind}, exactly [nginx]", compared([hello(b"www.example.com", **KINDS[kind])], view=tuple)
    for what in NAMES:
        yield f"name: {what} [nginx]", compared([hello(NAMES[what])])
    for what, row in PROBES.items():
        yield f"probe: {what} [nginx]", compared(row)
        yield f"probe: {what} [fronting]", compared(row, fronted)
    for version in ("TLS 1.3", "TLS 1.2"):
        yield f"behind the handshake, {version} [nginx]", lambda version=version: beside(
            lambda quiet: behind(door, version, quiet), lambda quiet: behind(nginx, version, quiet)
        )
        yield f"a second visit, {version} [nginx]", lambda version=version: (
            again(door, version), again(nginx, version)
        )
        yield f"a ticket for another name, {version} [nginx]", lambda version=version: (
            again(door, version, "app.example.com"), again(nginx, version, "app.example.com")
        )
    for mlkem in (True, False):
        kind = "with ML-KEM" if mlkem else "without ML-KEM"
        for place, name, strangers in (
            (door, servers.HOSTS[0], door),
            (door, servers.HOSTS[1], door),
            (door, "site.example.com", door),
            (fronted, servers.HOSTS[0], fronted),
            (fronted, "site.example.com", nginx),
        ):
            title = f"flight: {name}, {kind} [{'fronting' if place == fronted else 'alone'}]"
            yield title, lambda place=place, name=name, strangers=strangers, mlkem=mlkem: (
                flights(place, name, mlkem, True), flights(strangers, name, mlkem, False)
            )


def context(version):
    made = Tls("www.example.com").context()
    made.maximum_version = made.minimum_version = getattr(ssl.TLSVersion, version.replace(" ", "v").replace(".", "_"))
    return made



def shake(address, version, name="www.example.com", session=None):
    """A handshake by hand; how long the records of the other side are, a list for each
    time that it speaks, and its end."""


    connection = socket.create_connection(address, timeout=20)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = session[0] if session else context(version)
    side = made.wrap_bio(incoming, outgoing, server_hostname=name, session=session and session[1])
    spoken = []
    while True:
        try:
            side.do_handshake()
            break
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            data = connection.recv(65536)
            time.sleep(0.05)
            incoming.write(data)
            spoken.append(data)
    connection.sendall(outgoing.read())
    return connection, made, side, incoming, outgoing, spoken


def kinds_and_lengths(data):
    """Lengths but of what has a signature in it, which are not always the same."""
    records, rest = fake_tls.split(data)
    return [(kind, length) for kind, length in records], len(rest)


def behind(address, version, quiet):
    """What comes behind a handshake before anything is asked, and for a request."""
    connection, _, side, incoming, outgoing, _ = shake(address, version)
    with connection:
        talk = Talk(connection, Plain(connection))
        talk.listen(quiet)
        first = kinds_and_lengths(b"".join(talk.heard))
        talk.heard.clear()
        side.write(b"HEAD / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
        talk.send(outgoing.read())
        talk.listen(quiet)
        return first, kinds_and_lengths(b"".join(talk.heard)), talk.ended


def again(address, version, name="www.example.com"):
    """Whether a ticket is taken, twice the same one, and what its handshake looks like."""
    connection, made, side, incoming, outgoing, _ = shake(address, version)
    with connection:
        side.write(b"HEAD / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
        connection.sendall(outgoing.read())
        while data := connection.recv(65536):
            incoming.write(data)
        try:
            while side.read(65536):
                pass
        except ssl.SSLError:
            pass
    session = side.session
    lifetime = session.ticket_lifetime_hint if session else None
    taken = []
    for _ in range(2):
        connection, _, second, _, _, spoken = shake(address, version, name, (made, session))
        connection.close()
        taken.append((second.session_reused, kinds_and_lengths(b"".join(spoken)) if second.session_reused else None))
    return session.has_ticket, lifetime, taken


def flights(address, name, mlkem, is_signed):
    """The shape of a server's answers to a browser's hello, and how long they are."""
    key = bytes.fromhex(servers.FAKE_TLS[name][2:]) if is_signed else None

    def one(_):
        sent, session = fake_tls.client_hello(name, key, post_quantum=mlkem)
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(sent)
            heard = b""
            while len(fake_tls.split(heard)[0]) < records:
                heard += connection.recv(65536) or sys.exit("an end in a flight")
        flight = fake_tls.Flight(heard)
        assert flight.session == session
        return flight

    sent, _ = fake_tls.client_hello(name, key, post_quantum=mlkem)
    heard, _ = ask(address, [sent], quiet=SECOND_QUIET)
    records = len(fake_tls.split(heard)[0])
    with ThreadPoolExecutor(4) as pool:
        all_flights = list(pool.map(one, range(FLIGHTS)))
    lengths = [flight.length for flight in all_flights]
    shapes = {repr(flight.shape()) for flight in all_flights}
    # Of 80 ECDSA signatures some are of the greatest length, and as good as none 4 shorter.
    spread = "varies" if max(lengths) > min(lengths) else "fixed"
    records = {sum(kind == 0x17 for kind, _ in flight.records) for flight in all_flights}
    return shapes, max(lengths), spread, f"{records} encrypted records"
