"""Sessions whose records can be counted: a Telegram client in fake TLS
(doc/protocol.md 2, 3, 6), and an HTTPS client. What each one hears is kept as
events: (seconds, kind, length) of a record, "fin" or "reset"."""

import ctypes
import ctypes.util
import hashlib
import os
import socket
import ssl
import struct
import time

import bench
import tls
from bench import LIMIT, SECRET

PADDED = b"\xdd\xdd\xdd\xdd"
COMMAND_KEY = b"FAKE-TG!"


class Listener:
    """The records that come on a socket, as they come."""

    def __init__(self, stream):
        self.stream = stream
        self.events = []
        self._rest = b""
        self.began = time.monotonic()
        self.ended = None

    def take(self, seconds):
        """Payload that came within that time (b"" if none did); None at the end."""
        if self.ended:
            return None
        self.stream.settimeout(max(seconds, 0.001))
        try:
            data = self.stream.recv(65536)
        except TimeoutError:
            return b""
        except ConnectionResetError:
            return self._end("reset")
        if not data:
            return self._end("fin")
        now = time.monotonic() - self.began
        data = self._rest + data
        records, self._rest = tls.split(data)
        payload, at = b"", 0
        for kind, length in records:
            self.events.append((now, kind, length))
            payload += data[at + 5 : at + 5 + length]
            at += 5 + length
        self.raw = data[:at]
        return payload

    def _end(self, how):
        self.ended = how
        self.events.append((time.monotonic() - self.began, how, 0))

    def lengths(self):
        return [length for _, kind, length in self.events if kind == 0x17]

    def until_end(self, limit=LIMIT):
        deadline = time.monotonic() + limit
        while self.ended is None and time.monotonic() < deadline:
            self.take(deadline - time.monotonic())


class Telegram:
    """A client in a session by way of the proxy."""

    def __init__(self, address, name, dc=2):
        hello, _ = tls.client_hello(name, SECRET)
        self.stream = socket.create_connection(address, LIMIT)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.sendall(hello)
        flight = tls.Flight(bench.flight_on(self.stream, 3))
        assert len(flight.records) == 3, "not taken for a client"
        header = bytearray(os.urandom(64))
        while header[0] == 0xEF or bytes(header[:4]) in (b"HEAD", b"POST", b"GET ", b"OPTI", b"\xee" * 4, PADDED):
            header = bytearray(os.urandom(64))
        header[56:64] = PADDED + struct.pack("<hH", dc, 0)
        self.encrypt = Ctr(hashlib.sha256(bytes(header[8:40]) + SECRET).digest(), bytes(header[40:56]))
        back = bytes(header[8:56])[::-1]
        self.decrypt = Ctr(hashlib.sha256(back[:32] + SECRET).digest(), back[32:])
        self._unsent = bytes(header[:56]) + self.encrypt(bytes(header))[56:]
        self._prefix = b"\x14\x03\x03\x00\x01\x01"
        self._clear = b""
        self.listener = Listener(self.stream)
        self.acks = 0

    def send(self, payload, quick_ack=False):
        padding = os.urandom(os.urandom(1)[0] % 4)
        length = len(payload) + len(padding) | (0x8000_0000 if quick_ack else 0)
        self.send_bytes(struct.pack("<I", length) + payload + padding)

    def send_bytes(self, clear):
        sealed = self._unsent + self.encrypt(clear)
        out, self._unsent = self._prefix, b""
        self._prefix = b""
        for at in range(0, len(sealed), 16_384):
            part = sealed[at : at + 16_384]
            out += b"\x17\x03\x03" + struct.pack(">H", len(part)) + part
        self.stream.sendall(out)

    def order(self, opcode, a=0, b=0, length=20, **how):
        """A command to the fake DC (tests/telegram/src/payload.rs)."""
        self.send(COMMAND_KEY + struct.pack("<III", opcode, a, b) + bytes(length - 20), **how)

    def download(self, total, size):
        self.order(1, total, size)
        for _ in range(-(-total // size)):
            self.packet()

    def packet(self, limit=LIMIT):
        """The next packet's payload; quick-acks are counted on the way. None at the end."""
        deadline = time.monotonic() + limit
        while True:
            if len(self._clear) >= 4:
                (length,) = struct.unpack("<I", self._clear[:4])
                if length & 0x8000_0000:
                    self.acks += 1
                    self._clear = self._clear[4:]
                    continue
                if len(self._clear) >= 4 + length:
                    packet = self._clear[4 : 4 + length]
                    self._clear = self._clear[4 + length :]
                    return packet[: length - length % 4]
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no packet comes")
            data = self.listener.take(left)
            if data is None:
                return None
            self._clear += self.decrypt(data)

    def hear(self, seconds):
        """Counts quick-acks that come within that time."""
        try:
            self.packet(seconds)
        except TimeoutError:
            pass

    def close(self):
        self.stream.close()


class Https:
    """A browser's connection whose records can be seen."""

    def __init__(self, address, name):
        context = ssl.create_default_context(cafile=bench.path("roots.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._name = name
        self.stream = socket.create_connection(address, LIMIT)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self.listener = Listener(self.stream)
        self._until(self._tls.do_handshake)
        # What comes with the flight belongs to it.
        self.listener.events.clear()

    def _until(self, step):
        while True:
            try:
                result = step()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                if not self._hear():
                    raise EOFError from None

    def _flush(self):
        if data := self._out.read():
            self.stream.sendall(data)

    def _hear(self, seconds=LIMIT):
        if self.listener.take(seconds) is None:
            return False
        self._in.write(self.listener.raw)
        return True

    def get(self, page, size):
        """Asks for a page whose body has that size."""
        self._tls.write(f"GET {page} HTTP/1.1\r\nHost: {self._name}\r\n\r\n".encode())
        self._flush()
        got = b""
        while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < size:
            data = self._until(lambda: self._tls.read(65536))
            if not data:
                raise EOFError(f"after {len(got)} bytes: {got[:200]}")
            got += data
        return got

    def close(self):
        self.stream.close()


class Ctr:
    """AES-256-CTR by the system's OpenSSL."""

    _lib = None

    def __init__(self, key, iv):
        lib = self._library()
        self._context = ctypes.c_void_p(lib.EVP_CIPHER_CTX_new())
        kind = ctypes.c_void_p(lib.EVP_aes_256_ctr())
        if lib.EVP_EncryptInit_ex(self._context, kind, None, key, iv) != 1:
            raise RuntimeError("OpenSSL has no AES-256-CTR")

    def __call__(self, data):
        out = ctypes.create_string_buffer(len(data) + 16)
        length = ctypes.c_int()
        self._lib.EVP_EncryptUpdate(self._context, out, ctypes.byref(length), data, len(data))
        return out.raw[: length.value]

    def __del__(self):
        if self._lib and getattr(self, "_context", None):
            self._lib.EVP_CIPHER_CTX_free(self._context)

    @classmethod
    def _library(cls):
        if cls._lib is None:
            lib = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
            lib.EVP_CIPHER_CTX_new.restype = lib.EVP_aes_256_ctr.restype = ctypes.c_void_p
            lib.EVP_EncryptUpdate.argtypes = [
                ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_int,
            ]
            lib.EVP_CIPHER_CTX_free.argtypes = [ctypes.c_void_p]
            cls._lib = lib
        return cls._lib
