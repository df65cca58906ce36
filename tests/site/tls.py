"""The bytes of TLS 1.3 handshakes: hellos as browsers send them, and what can
be seen of the answers without keys. Standard library only."""

import functools
import hashlib
import hmac
import os
import random
import struct
import time

X25519 = 0x001D
X25519_MLKEM768 = 0x11EC


def vec8(data):
    return bytes([len(data)]) + data


def vec16(data):
    return struct.pack(">H", len(data)) + data


def words(*values):
    return b"".join(struct.pack(">H", value) for value in values)


@functools.cache
def mlkem_key(_number):
    """As a public key looks: 768 numbers below 3329 in 12 bits each, a seed."""
    out = bytearray()
    for _ in range(384):
        pair = random.randrange(3329) | random.randrange(3329) << 12
        out += pair.to_bytes(3, "little")
    return bytes(out) + os.urandom(32)


def client_hello(name, secret=None, clock=None, post_quantum=True):
    """A record with a hello; signed if there is a secret (doc/protocol.md 6)."""
    server_name = vec16(b"\0" + vec16(name.encode()))
    shares = words(0x5A5A, 1) + b"\0"
    groups = words(0x5A5A, X25519, 0x17, 0x18)
    if post_quantum:
        shares += words(X25519_MLKEM768) + vec16(mlkem_key(random.randrange(16)) + os.urandom(32))
        groups = words(0x5A5A, X25519_MLKEM768, X25519, 0x17, 0x18)
    shares += words(X25519) + vec16(os.urandom(32))
    extensions = b"".join(
        words(kind) + vec16(data)
        for kind, data in [
            (0x0A0A, b""),
            (0x0000, server_name),
            (0x0017, b""),
            (0xFF01, b"\0"),
            (0x000A, vec16(groups)),
            (0x000B, b"\x01\0"),
            (0x0023, b""),
            (0x0010, vec16(vec8(b"h2") + vec8(b"http/1.1"))),
            (0x0005, b"\x01\0\0\0\0"),
            (0x000D, vec16(words(0x403, 0x804, 0x401, 0x503, 0x805, 0x501, 0x806, 0x601))),
            (0x0012, b""),
            (0x0033, vec16(shares)),
            (0x002D, b"\x01\x01"),
            (0x002B, vec8(words(0x3A3A, 0x0304, 0x0303))),
            (0x001B, b"\x02\0\x02"),
            (0x1A1A, b"\0"),
        ]
    )
    suites = words(
        0x8A8A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8
    )
    session = os.urandom(32)
    body = b"\x03\x03" + bytes(32) + vec8(session) + vec16(suites) + b"\x01\0" + vec16(extensions)
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    record = bytearray(b"\x16\x03\x01" + vec16(message))
    if secret is None:
        record[11:43] = os.urandom(32)
    else:
        digest = bytearray(hmac.new(secret, record, hashlib.sha256).digest())
        now = struct.pack("<I", int(time.time() if clock is None else clock))
        for i in range(4):
            digest[28 + i] ^= now[i]
        record[11:43] = digest
    return bytes(record), session


class Flight:
    """A server's answer up to where it waits for the client."""

    def __init__(self, data):
        self.length = len(data)
        self.records = []
        rest = data
        while rest:
            kind, version, length = struct.unpack(">BHH", rest[:5])
            assert version == 0x0303 and len(rest) >= 5 + length, rest[:5].hex()
            self.records.append((kind, rest[5 : 5 + length]))
            rest = rest[5 + length :]
        kind, hello = self.records[0]
        assert kind == 0x16 and hello[0] == 2, "no ServerHello"
        assert int.from_bytes(hello[1:4], "big") == len(hello) - 4
        self.hello = hello
        self.random = hello[6:38]
        self.session = hello[39 : 39 + hello[38]]
        at = 39 + hello[38]
        self.suite, self.compression, total = struct.unpack(">HBH", hello[at : at + 5])
        extensions = hello[at + 5 :]
        assert len(extensions) == total
        self.order = []
        self.share = b""
        self.group = None
        while extensions:
            kind, length = struct.unpack(">HH", extensions[:4])
            content = extensions[4 : 4 + length]
            extensions = extensions[4 + length :]
            self.order.append(kind)
            if kind == 0x33:
                self.group, length = struct.unpack(">HH", content[:4])
                self.share = content[4:]
                assert length == len(self.share)
        self.encrypted = b"".join(body for kind, body in self.records if kind == 0x17)

    def shape(self):
        """What has to be the same at the site and with us."""
        kinds = [kind for kind, _ in self.records if kind != 0x17]
        return (self.suite, self.group, self.order, len(self.share), kinds, len(self.session))


def split(data):
    """The records in `data`, as (kind, length), and what is not a whole one."""
    records, at = [], 0
    while at + 5 <= len(data):
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if at + 5 + length > len(data):
            break
        records.append((data[at], length))
        at += 5 + length
    return records, data[at:]
