"""Hellos of every kind, and what can be seen of the answers without keys."""

import os
import struct

# A point that is on the curve.
P256_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
TLS12, TLS13 = 0x0303, 0x0304
X25519, P256, P384, P521, FFDHE = 0x1D, 0x17, 0x18, 0x19, 0x100
NEW = (0x1301, 0x1302, 0x1303)
OLD_GOOD = (0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8)
OLD_WEAK = (0xC009, 0xC013, 0xC00A, 0xC014, 0x9C, 0x9D, 0x2F, 0x35, 0x0A)
SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)


def vec8(data):
    return bytes([len(data)]) + data


def vec16(data):
    return struct.pack(">H", len(data)) + data


def words(values):
    return b"".join(struct.pack(">H", value) for value in values)


def share(group):
    return {X25519: os.urandom(32), P256: P256_POINT}.get(group, os.urandom(97))


def server_name(name):
    return [] if name is None else [(0x0000, vec16(b"\0" + vec16(name)))]


def hello(
    name=None,
    *,
    suites=NEW + OLD_GOOD,
    versions=(TLS13, TLS12),
    legacy=TLS12,
    record=0x0301,
    groups=(X25519, P256, P384),
    shares=(X25519,),
    signatures=SIGNATURES,
    alpn=(b"h2", b"http/1.1"),
    session=32,
    compression=b"\0",
    more=(),
    random=None,
):
    extensions = server_name(name)
    extensions += [(0x0017, b""), (0xFF01, b"\0"), (0x0023, b"")]
    extensions += [(0x000A, vec16(words(groups))), (0x000B, b"\x01\0")] if groups else []
    extensions += [(0x0010, vec16(b"".join(vec8(one) for one in alpn)))] if alpn else []
    extensions += [(0x0005, b"\x01\0\0\0\0")]
    extensions += [(0x000D, vec16(words(signatures)))] if signatures else []
    if versions:
        entries = b"".join(words([group]) + vec16(share(group)) for group in shares)
        extensions += [(0x0033, vec16(entries)), (0x002D, b"\x01\x01"), (0x002B, vec8(words(versions)))]
    extensions += more
    packed = b"".join(words([kind]) + vec16(data) for kind, data in extensions)
    body = words([legacy]) + (random or os.urandom(32)) + vec8(os.urandom(session))
    body += vec16(words(suites)) + vec8(compression) + (vec16(packed) if extensions else b"")
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16" + words([record]) + vec16(message)


# Of hellos with `name`.
KINDS = {
    "as a browser's": {},
    "TLS 1.3 alone": {"versions": (TLS13,), "suites": NEW},
    "TLS 1.3, AES-128 last": {"versions": (TLS13,), "suites": NEW[::-1]},
    "TLS 1.3, ChaCha20 alone": {"versions": (TLS13,), "suites": (0x1303,)},
    "TLS 1.3, CCM alone": {"versions": (TLS13,), "suites": (0x1304,)},
    "TLS 1.3, P-256": {"shares": (P256,)},
    "TLS 1.3, P-256 first": {"groups": (P256, X25519), "shares": (P256, X25519)},
    "TLS 1.3, no share": {"shares": ()},
    "TLS 1.3, share of P-521": {"groups": (P521, X25519), "shares": (P521,)},
    "TLS 1.3, P-521 alone": {"groups": (P521,), "shares": ()},
    "TLS 1.3, groups of nobody": {"groups": (FFDHE,), "shares": (FFDHE,)},
    "TLS 1.3, no session id": {"session": 0},
    "TLS 1.3, RSA signatures alone": {"versions": (TLS13,), "signatures": (0x0804, 0x0401)},
    "TLS 1.3, P-384 signatures alone": {"versions": (TLS13,), "signatures": (0x0503,)},
    "TLS 1.3, no signatures": {"versions": (TLS13,), "signatures": ()},
    "TLS 1.2": {"versions": (), "suites": OLD_GOOD},
    "TLS 1.2, said twice": {"versions": (TLS12,)},
    "TLS 1.2, AES-256 first": {"versions": (), "suites": (0xC02C, 0xC02B)},
    "TLS 1.2, ChaCha20 first": {"versions": (), "suites": (0xCCA9, 0xC02B, 0xC02C)},
    "TLS 1.2, ChaCha20 last": {"versions": (), "suites": (0xC02C, 0xC02B, 0xCCA9)},
    "TLS 1.2, RSA alone": {"versions": (), "suites": (0xC02F, 0xC030)},
    "TLS 1.2, CBC alone": {"versions": (), "suites": (0xC009, 0xC00A)},
    "TLS 1.2, weak alone": {"versions": (), "suites": OLD_WEAK[4:]},
    "TLS 1.2, P-256 first": {"versions": (), "suites": OLD_GOOD, "groups": (P256, X25519)},
    "TLS 1.2, P-521 alone": {"versions": (), "suites": OLD_GOOD, "groups": (P521,)},
    "TLS 1.2, no groups": {"versions": (), "suites": OLD_GOOD, "groups": ()},
    "TLS 1.2, no signatures": {"versions": (), "suites": OLD_GOOD, "signatures": ()},
    "TLS 1.2, no session id": {"versions": (), "suites": OLD_GOOD, "session": 0},
    "TLS 1.1": {"versions": (), "legacy": 0x0302, "suites": OLD_WEAK},
    "TLS 1.1, said twice": {"versions": (0x0302,), "suites": OLD_WEAK},
    "TLS 1.0": {"versions": (), "legacy": 0x0301, "suites": OLD_WEAK},
    "SSL 3": {"versions": (), "legacy": 0x0300, "record": 0x0300, "suites": OLD_WEAK},
    "TLS 1.4": {"versions": (0x0305,)},
    "TLS 1.4 or 1.3": {"versions": (0x0305, TLS13)},
    "versions of nobody": {"versions": (0x7F1C, 0x3A3A)},
    "fallback": {"versions": (), "suites": (*OLD_GOOD, 0x5600)},
    "no suites of anybody": {"suites": (0x3A3A, 0xEEEE)},
    "no suites": {"suites": ()},
    "compression": {"compression": b"\x01\0"},
    "compression alone": {"compression": b"\x01"},
    "no ALPN": {"alpn": ()},
    "ALPN h2 alone": {"alpn": (b"h2",)},
    "ALPN http/1.1 first": {"alpn": (b"http/1.1", b"h2")},
    "ALPN http/1.0": {"alpn": (b"http/1.0",)},
    "ALPN of nobody": {"alpn": (b"spdy/1", b"hq")},
    "ALPN acme": {"alpn": (b"acme-tls/1",)},
    "extension twice": {"more": ((0x0017, b""),)},
    "extension of nobody": {"more": ((0x3A3A, b"\0"), (0xFACE, b"abc"))},
    "padding": {"more": ((0x0015, bytes(300)),)},
    "very long": {"more": ((0xFACE, bytes(9000)),)},
    "early data": {"more": ((0x002A, b""),)},
    "malformed extension": {"more": ((0x002B, b"\x05\x03"),)},
}

# Not whole hellos, or none at all.
PROBES = {
    "HTTP in the clear": [b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"],
    "HTTP of old in the clear": [b"GET / HTTP/1.0\r\n\r\n"],
    "garbage": [b"\xde\xad\xbe\xef" * 40],
    "text": [b"EHLO example.com\r\n" * 8],
    "zeros": [bytes(100)],
    "end at once": ["end"],
    "half a hello and the end": [hello(b"www.example.com")[:60], "end"],
    "one byte and the end": [b"\x16", "end"],
    "alert": [bytes.fromhex("15030100020100")],
    "fatal alert": [bytes.fromhex("15030100020228")],
    "data first": [bytes.fromhex("1703030005") + b"hello"],
    "change_cipher_spec first": [bytes.fromhex("140303000101")],
    "record of another version": [bytes.fromhex("160500") + hello(b"www.example.com")[3:]],
    "record without an end": [bytes.fromhex("160301ffff") + bytes(100)],
    "record of nothing": [bytes.fromhex("1603010000")],
    "another message": [bytes.fromhex("160301000802000004") + bytes(4)],
    "hello of SSL 2": [bytes.fromhex("802e0103010015000000100100800300800700c0") + bytes(28)],
    "hello that lies about its length": [bytes.fromhex("160301000501ffffff00")],
    "hello with a tail": [hello(b"www.example.com") + b"\x16\x03\x03\0\x04\x0e\0\0\0"],
    "hello twice": [hello(b"www.example.com", random=bytes(32)), 0.2, hello(b"www.example.com")],
    "hello, then garbage": [hello(b"www.example.com"), 0.2, b"\x17\x03\x03\0\x20" + bytes(32)],
    "hello, then an alert": [hello(b"www.example.com"), 0.2, bytes.fromhex("15030300020228")],
    "hello, then HTTP": [hello(b"www.example.com"), 0.2, b"GET / HTTP/1.1\r\n\r\n"],
    "hello, then the end": [hello(b"www.example.com"), 0.2, "end"],
    "hello in one-byte records": [
        b"".join(b"\x16\x03\x01\0\x01" + bytes([one]) for one in hello(b"www.example.com")[5:])
    ],
}


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        taken, self.data = self.data[:count], self.data[count:]
        if len(taken) < count:
            raise ValueError("too short")
        return taken

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def vec(self, size):
        return Reader(self.take(self.number(size)))


def figure(answer):
    """What does not differ from one answer to the next: kinds of records and messages,
    what a ServerHello chooses, its extensions in their order, alerts, the end."""
    data, end = answer
    seen, reader, clear = [], Reader(data), b""
    try:
        while reader.data:
            if reader.data[:1] not in (b"\x14", b"\x15", b"\x16", b"\x17"):
                seen.append(reader.data[:60])
                break
            kind = reader.number(1)
            version = reader.number(2)
            body = reader.vec(2).data
            if kind == 0x16:
                clear += body
                seen += list(messages(clear))
                clear = b""
            elif kind == 0x15 and len(body) == 2:
                seen.append(f"alert {body[0]}/{body[1]} v{version:04x}")
            else:
                seen.append({0x14: "change_cipher_spec", 0x15: "encrypted alert", 0x17: "encrypted"}[kind])
    except ValueError:
        seen.append("a piece")
    return (*seen, end)


def messages(data):
    reader = Reader(data)
    while reader.data:
        kind = reader.number(1)
        body = reader.vec(3)
        if kind == 2:
            yield server_hello(body)
        elif kind == 12:
            curve = body.take(3).hex()
            body.vec(1)
            yield f"key exchange {curve}, signed {body.take(2).hex()}"
        else:
            yield f"message {kind}"


def server_hello(body):
    version, random = body.number(2), body.take(32)
    session = len(body.vec(1).data)
    suite, _ = body.number(2), body.take(1)
    extensions, group = [], ""
    rest = body.vec(2) if body.data else Reader(b"")
    while rest.data:
        kind = rest.number(2)
        content = rest.vec(2).data
        extensions.append(f"{kind:x}")
        if kind == 0x33:
            group = f" group {content[:2].hex()}"
        if kind == 0x10:
            group += f" ALPN {content[3:].decode('latin-1')}"
    retry = " again" if random.startswith(bytes.fromhex("cf21ad74e59a6111")) else ""
    downgrade = " marked" if random.endswith((b"DOWNGRD\x00", b"DOWNGRD\x01")) else ""
    return f"hello{retry}{downgrade} {version:04x} {suite:04x}{group} session {session} [{' '.join(extensions)}]"
