"""A Telegram client's obfuscated stream, intermediate transport, as little of it
as is needed: the header, packets, and the fake DC's echo."""

import hashlib
import os
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TAG = b"\xee\xee\xee\xee"
RESERVED = (b"HEAD", b"POST", b"GET ", b"OPTI", TAG, b"\xdd\xdd\xdd\xdd", b"\x16\x03\x01\x02")


def _cipher(material, secret):
    key = material[:32]
    if secret:
        key = hashlib.sha256(key + secret).digest()
    return Cipher(algorithms.AES256(key), modes.CTR(material[32:])).encryptor()


class Stream:
    """`header` goes first; then `packet` and `push`."""

    def __init__(self, dc, secret=b""):
        while True:
            header = bytearray(os.urandom(64))
            if header[0] != 0xEF and header[:4] not in RESERVED and any(header[4:8]):
                break
        header[56:60] = TAG
        header[60:62] = struct.pack("<h", dc)
        material = bytes(header[8:56])
        self._up = _cipher(material, secret)
        self._down = _cipher(material[::-1], secret)
        self.header = bytes(header[:56]) + self._up.update(bytes(header))[56:]
        self._clear = b""

    def packet(self, payload):
        return self._up.update(struct.pack("<I", len(payload)) + payload)

    def push(self, data):
        self._clear += self._down.update(data)

    def next(self):
        """The next packet, if it is whole."""
        if len(self._clear) < 4:
            return None
        (length,) = struct.unpack("<I", self._clear[:4])
        if len(self._clear) < 4 + length:
            return None
        payload, self._clear = self._clear[4 : 4 + length], self._clear[4 + length :]
        return payload


def echo(length):
    """A payload that the fake DC sends back."""
    return b"\x45" * 8 + os.urandom(length - 8)
