"""Telethon's connections to a proxy, and its client on top of them."""

import collections
import itertools
import logging
import os
import struct

import telethon
from telethon.errors import InvalidBufferError
from telethon.network import MTProtoPlainSender
from telethon.network.connection import tcpmtproxy
from telethon.sessions import MemorySession
from telethon.tl.functions import ReqPqMultiRequest
from telethon.tl.types import ResPQ
from TelethonFakeTLS import ConnectionTcpMTProxyFakeTLS

Abridged = tcpmtproxy.ConnectionTcpMTProxyAbridged
Intermediate = tcpmtproxy.ConnectionTcpMTProxyIntermediate
Padded = tcpmtproxy.ConnectionTcpMTProxyRandomizedIntermediate
CONNECT = 30  # seconds


class FakeTls(ConnectionTcpMTProxyFakeTLS):
    """The library keeps its hello in its class, where two connections at a time
    would mix theirs up; and it adds the `ee` itself."""

    def __init__(self, *args, proxy, **kwargs):
        host, port, secret = proxy
        super().__init__(*args, proxy=(host, port, secret.removeprefix("ee")), **kwargs)
        codec = self.fake_tls_cdc
        codec.client_hello_dict = dict(codec.client_hello_dict)


class Connection:
    """One connection of a Telethon class through a proxy to a DC."""

    def __init__(self, kind, port, secret, dc=2):
        self._loggers = collections.defaultdict(lambda: logging.getLogger("telethon"))
        proxy = ("127.0.0.1", port, secret)
        self._connection = kind("192.0.2.1", 443, dc, loggers=self._loggers, proxy=proxy)

    async def __aenter__(self):
        await self._connection.connect(timeout=CONNECT)
        return self

    async def __aexit__(self, *_):
        await self._connection.disconnect()

    async def exchange_nonce(self):
        """The first step of every client: req_pq_multi, answered by resPQ."""
        nonce = int.from_bytes(os.urandom(16), "big", signed=True)
        sender = MTProtoPlainSender(self._connection, loggers=self._loggers)
        answer = await sender.send(ReqPqMultiRequest(nonce))
        if not isinstance(answer, ResPQ) or answer.nonce != nonce:
            raise AssertionError(f"not the answer to that nonce: {answer}")

    async def exchange_bytes(self, length):
        """What is no unencrypted MTProto the fake Telegram sends back as it is."""
        packet = b"\x45" * 4 + os.urandom(length - 4)
        await self._connection.send(packet)
        answer = await self._connection.recv()
        if answer != packet:
            raise AssertionError(f"{length} bytes came back as {len(answer)} others")


    async def provoke_error(self, code):
        """By what the fake Telegram answers so (tests/telegram/src/payload.rs)."""
        await self._connection.send(b"FAKE-TG!" + struct.pack("<III", 6, 0, 0))
        body = await self._connection.recv()
        # As the whole client tells an error from a message.
        error = InvalidBufferError(body) if len(body) < 8 else None
        if error is None or error.code != code:
            raise AssertionError(f"no error {code}: {body.hex()}")


async def start_whole_client(kind, port, secret):
    """What the whole client says when it has got and checked resPQ, and then
    finds that the other side is not Telegram."""
    said = Said()
    client = telethon.TelegramClient(
        MemorySession(),
        api_id=1,
        api_hash="none",
        connection=kind,
        proxy=("127.0.0.1", port, secret),
        timeout=CONNECT,
        connection_retries=0,
        base_logger=said.logger,
    )
    try:
        await client.connect()
    except ConnectionError:
        return said.lines
    finally:
        await client.disconnect()
    raise AssertionError("it has agreed on a key with a Telegram that has none")


class Said(logging.Handler):
    """A logger whose lines are kept."""

    numbers = itertools.count()

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines = []
        self.logger = logging.getLogger(f"client-{next(self.numbers)}")
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        self.logger.addHandler(self)

    def emit(self, record):
        self.lines.append(record.getMessage())
