"""A relay for bridge pages that speaks `api/v1` by the letter: what breaks a rule goes to
`broken`, and is answered as a stranger is. Its streams echo. `Faults` are what it does
wrong when it is told to; a network's and a relay's."""

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import os
import re
import ssl
import struct
from collections import deque

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

OPEN, DATA, CLOSE, WINDOW, PONG, HELLO, WELCOME = 1, 2, 3, 4, 6, 0x10, 0x11
CREDIT = 4 << 20
MAX_BATCH = 2 << 20
OCTETS = "application/octet-stream"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def capability(key, host, path=""):
    """What a page is asked for with; `path` has no slash at its ends."""
    text = f"tdesktop-web-proxy-bridge-v2\n{host}\n{path}" if path else f"tdesktop-web-proxy-bridge-v1\n{host}"
    return base64url(hmac.digest(key, text.encode(), "sha256"))


def policy(host, nonce):
    return (
        f"default-src 'none'; connect-src 'self' wss://{host}; script-src 'nonce-{nonce}'; "
        "frame-ancestors http://127.0.0.1:*; base-uri 'none'; form-action 'none'; sandbox allow-scripts allow-same-origin"
    )


def frame(kind, stream, payload=b""):
    return struct.pack(">II", kind << 24 | stream, len(payload)) + payload


class Broken(Exception):
    """A rule of the interface that was not kept."""


@dataclasses.dataclass
class Faults:
    socket: str = ""  # refuse, hang, late, late answer: an answer that is no upgrade, none, one for nobody
    socket_dies_after: int = 0  # bytes from the app
    full: int = 0  # so many requests get 503
    gateway: int = 0  # so many get 502
    cut_downs: int = 0  # so many answers to down end in the middle
    cut_ups: int = 0  # so many ups end in the middle, before the product
    lost_ups: int = 0  # so many ups are applied, and their answer is lost
    lost_requests: int = 0  # so many requests end without a byte
    down_delay: float = 0
    expires_after: int = 0  # requests of a session; then nobody knows its token
    refuse_session: bool = False
    merge: int = 64 << 10  # the longest DATA
    sinks: bool = False  # streams take and grant, and nothing comes back
    close_after: int = 0  # bytes of a stream, after which the relay closes it
    chop: bool = False  # WebSocket messages in fragments
    idle: float = 25  # seconds to an empty answer to down
    deaf: float = 0  # seconds before a socket is read
    mute: bool = False  # a socket is read, and nothing is done of it, as where packets are lost

    def takes(self, name):
        """Whether it is to happen once more."""
        left = getattr(self, name)
        setattr(self, name, max(left - 1, 0))
        return left > 0


class Stream:
    def __init__(self):
        self.from_app = self.to_app = CREDIT
        self.pending = deque()
        self.ungranted = 0
        self.got = 0


class Session:
    def __init__(self, relay, token, hello):
        self.relay, self.token, self.hello = relay, token, hello
        self.streams, self.closed = {}, set()
        self.out = deque()
        self.some = asyncio.Event()
        self.carrier = None
        self.up_seq, self.last_up = 0, None
        self.cursor, self.batch = 0, b""
        self.poll = 0
        self.requests = 0
        self.ended = False

    def end(self, why):
        if not self.ended:
            self.ended = True
            self.relay.ends.append(why)
            self.relay.sessions.pop(self.token, None)
        self.some.set()

    def take(self, batch):
        """All frames of a message or body."""
        if not 0 < len(batch) <= MAX_BATCH:
            raise Broken(f"a batch of {len(batch)} bytes")
        at = frames = 0
        while at < len(batch):
            if len(batch) - at < 8:
                raise Broken("a cut header")
            kind, length = struct.unpack_from(">II", batch, at)
            kind, stream = kind >> 24, kind & 0xFFFFFF
            payload = batch[at + 8 : at + 8 + length]
            frames += 1
            if len(payload) < length or frames > 4096:
                raise Broken("a cut frame, or too many")
            self.take_frame(kind, stream, payload)
            at += 8 + length

    def take_frame(self, kind, number, payload):
        if kind == PONG and number == 0:
            return
        if number == 0 or kind not in (OPEN, DATA, CLOSE, WINDOW):
            raise Broken(f"a frame {kind} for {number}")
        if kind == OPEN:
            if number in self.streams or number in self.closed or payload:
                raise Broken(f"OPEN of {number}")
            self.streams[number] = Stream()
            self.relay.opened += 1
            return
        stream = self.streams.get(number)
        if not stream:
            if number not in self.closed:
                raise Broken(f"a frame {kind} for {number}, which never was")
            return
        if kind == CLOSE:
            if payload:
                raise Broken("CLOSE with payload")
            del self.streams[number]
            self.closed.add(number)
        elif kind == WINDOW:
            if len(payload) != 4 or not any(payload):
                raise Broken("a bad WINDOW")
            stream.to_app += struct.unpack(">I", payload)[0]
            self.echo(number, stream)
        else:
            stream.from_app -= len(payload)
            if not payload or stream.from_app < 0:
                raise Broken("DATA that is empty, or above credit")
            stream.got += len(payload)
            stream.pending.append(bytes(payload))
            self.echo(number, stream)

    def echo(self, number, stream):
        faults = self.relay.faults
        if faults.close_after and stream.got >= faults.close_after:
            del self.streams[number]
            self.closed.add(number)
            return self.push(frame(CLOSE, number))
        if faults.sinks:
            stream.ungranted += sum(map(len, stream.pending))
            stream.pending.clear()
        while stream.pending and stream.to_app:
            data = bytearray()
            room = min(faults.merge, stream.to_app)
            while stream.pending and len(data) < room:
                first = stream.pending.popleft()
                if len(data) + len(first) > room:
                    stream.pending.appendleft(first[room - len(data) :])
                    first = first[: room - len(data)]
                data += first
            stream.to_app -= len(data)
            stream.ungranted += len(data)
            self.push(frame(DATA, number, bytes(data)))
        if stream.ungranted >= 32 << 10 or (stream.ungranted and not stream.pending):
            self.push(frame(WINDOW, number, struct.pack(">I", stream.ungranted)))
            stream.from_app += stream.ungranted
            stream.ungranted = 0

    def push(self, data):
        self.out.append(data)
        self.some.set()

    def next_batch(self, most):
        batch, frames = bytearray(), 0
        while self.out and frames < 4096 and (not batch or len(batch) + len(self.out[0]) <= most):
            batch += self.out.popleft()
            frames += 1
        if not self.out and not self.ended:
            self.some.clear()
        return bytes(batch)


class Head:
    def __init__(self, raw):
        lines = raw.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.fields = [tuple(line.split(": ", 1)) for line in lines[1:] if line]

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name]

    def one(self, name):
        values = self.all(name)
        return values[0] if len(values) == 1 else None


class Relay:
    def __init__(self, host, key, page):
        self.host, self.key, self.page = host, key, page
        self.begin("", "")

    def begin(self, path, carriers):
        """Anew, with its page at that path."""
        self.base, self.carriers = f"/{path}/" if path else "/", carriers
        self.capability = capability(self.key, self.host, path)
        self.renew()

    def renew(self):
        """As if it had just begun; what `faults` says is to be set after this."""
        self.faults = Faults()
        self.broken, self.ends, self.asked = [], [], []
        self.bootstraps, self.sessions = {}, {}
        self.removed = set()
        self.opened = self.sockets = self.pages = 0

    async def serve(self, reader, writer):
        try:
            while await self.answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # gone, or all is over
        except Exception as error:
            self.broken.append(repr(error))
        finally:
            writer.transport.abort()

    async def answer(self, reader, writer):
        """One request; whether another may follow."""
        raw = await reader.readuntil(b"\r\n\r\n")
        head = Head(raw[:-4])
        if "upgrade" in (head.one("connection") or "").lower():
            await self.socket(head, raw, reader, writer)
            return False
        body = await reader.readexactly(int(head.one("content-length") or 0))
        if head.method == "GET":
            return self.get(head, writer)
        name = head.target.removeprefix(self.base + "api/v1/")
        self.asked.append(f"{head.method} {name}")
        faults = self.faults
        for fault, status in (("full", 503), ("gateway", 502), ("lost_requests", 0)):
            if head.method == "POST" and faults.takes(fault):
                if status:
                    self.send(writer, status, {"Retry-After": "1"} if status == 503 else {})
                return bool(status)
        try:
            return await self.call(head, name, body, writer)
        except Broken as error:
            self.broken.append(f"{head.method} {head.target}: {error}")
            self.send(writer, 404, {"Content-Type": "text/html"}, b"<h1>Not here</h1>")
            return True

    def send(self, writer, status, fields=None, body=b"", cut=False):
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in (fields or {}).items())]
        if status != 204:
            lines.append(f"Content-Length: {len(body)}")
        body = body[: len(body) // 2] if cut else body
        writer.write("\r\n".join([*lines, "Cache-Control: no-store", "", ""]).encode() + body)

    def get(self, head, writer):
        if head.target != f"{self.base}?bridge={self.capability}":
            # A stranger's look at the cover.
            self.asked.append(f"GET {head.target}")
            self.send(writer, 404, {"Content-Type": "text/html"}, b"<h1>Not here</h1>")
            return True
        self.pages += 1
        token, nonce = base64url(os.urandom(32)), base64url(os.urandom(16))
        self.bootstraps[token] = None
        page = self.page
        for blank, filling in (("nonce", nonce), ("token", token), ("carriers", self.carriers)):
            page = page.replace("{{" + blank + "}}", filling)
        fields = {
            "Content-Type": "text/html; charset=utf-8",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-DNS-Prefetch-Control": "off",
            "Content-Security-Policy": policy(self.host, nonce),
        }
        self.send(writer, 200, fields, page.encode())
        return True

    def bearer(self, head, body, body_type):
        """The token, of a request that keeps the rules that all have in common."""
        match = re.fullmatch(rf"Bearer ({TOKEN.pattern})", head.one("authorization") or "")
        if not match or head.all("cookie") or "?" in head.target or head.one("host") != self.host:
            raise Broken(f"not authorised, or more than that: {head.fields}")
        if head.all("content-type") != ([OCTETS] if body_type else []) or (body and not body_type):
            raise Broken(f"content type {head.all('content-type')}")
        return match[1]

    async def call(self, head, name, body, writer):
        if head.method == "POST" and name == "session":
            return self.create(self.bearer(head, body, True), body, writer)
        token = self.bearer(head, body, name == "up")
        if head.method == "DELETE" and name == "session":
            if token in self.sessions:
                self.removed.add(token)
                self.sessions[token].end("deleted")
            elif token not in self.removed and not self.faults.expires_after and not self.ends:
                raise Broken("nobody's token")
            self.send(writer, 204)
            return True
        session = self.sessions.get(token)
        if not session or session.carrier == "websocket":
            if session or not self.ends:
                raise Broken("no session, or one that has a socket")
            # As the cover does: with a page.
            self.send(writer, 200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>")
            return True
        session.carrier = "https"
        session.requests += 1
        if self.faults.expires_after and session.requests > self.faults.expires_after:
            session.end("expired")
            self.send(writer, 200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>")
            return True
        if head.method == "POST" and name == "up":
            return self.up(session, head, body, writer)
        if head.method == "POST" and name == "down":
            return await self.down(session, head, writer)
        raise Broken("no such call")

    def create(self, token, body, writer):
        if token not in self.bootstraps or body != frame(HELLO, 0, b"\x01"):
            raise Broken("not a bootstrap token, or not HELLO")
        if self.faults.refuse_session:
            self.send(writer, 200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>")
            return True
        session = self.bootstraps[token]
        if not session:
            session = self.bootstraps[token] = Session(self, base64url(os.urandom(32)), body)
            self.sessions[session.token] = session
        fields = {"Content-Type": OCTETS, "X-Session-Token": session.token, "X-Down-Cursor": "0", "X-Carrier-Mode": "https"}
        self.send(writer, 200, fields, frame(WELCOME, 0))
        return True

    def up(self, session, head, body, writer):
        seq = head.one("x-up-seq")
        same = (seq, hashlib.sha256(body).digest())
        if seq == str(session.up_seq) and same != session.last_up:
            session.end("another body")
            raise Broken("another body under the same number")
        if seq != str(session.up_seq):
            if seq != str(session.up_seq + 1):
                session.end("gap")
                raise Broken(f"up {seq} after {session.up_seq}")
            if len(body) > 256 << 10:
                raise Broken(f"a body of {len(body)} bytes")
            session.up_seq += 1
            session.last_up = same
            try:
                session.take(body)
            except Broken:
                session.end("broken")
                raise
        if self.faults.takes("lost_ups"):
            return False
        self.send(writer, 204, {"X-Up-Ack": seq})
        return True

    async def down(self, session, head, writer):
        cursor = head.one("x-down-cursor")
        session.poll += 1
        mine = session.poll
        if self.faults.down_delay:
            await asyncio.sleep(self.faults.down_delay)
        if cursor == str(session.cursor):
            session.batch = b""
            try:
                await asyncio.wait_for(session.some.wait(), self.faults.idle)
            except TimeoutError:
                pass
            if mine != session.poll:
                self.send(writer, 204, {"X-Down-Cursor": cursor})
                return True
            session.batch = session.next_batch(256 << 10)
            if not session.batch:
                self.send(writer, 204, {"X-Down-Cursor": cursor})
                return True
            session.cursor += 1
        elif not session.batch or cursor != str(session.cursor - 1):
            session.end("cursor")
            raise Broken(f"cursor {cursor} at {session.cursor}")
        cut = self.faults.takes("cut_downs")
        fields = {"Content-Type": OCTETS, "X-Down-Cursor": str(session.cursor)}
        self.send(writer, 200, fields, session.batch, cut)
        return not cut

    # ---- the WebSocket ----

    async def socket(self, head, raw, reader, writer):
        self.sockets += 1
        offered = head.one("sec-websocket-protocol") or ""
        token = offered.removeprefix("tproxy-v1.")
        session = self.sessions.get(token)
        if head.target != f"{self.base}api/v1/ws" or not session or session.carrier or head.all("authorization"):
            self.broken.append(f"a socket {head.fields}")
            return
        if self.faults.socket == "refuse":
            return self.send(writer, 403)
        if self.faults.socket == "hang":
            await reader.read()
            return None
        session.carrier = "websocket"
        protocol = ServerProtocol(subprotocols=[offered], max_size=MAX_BATCH)
        protocol.receive_data(raw)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
        sending = asyncio.create_task(self.send_down(session, protocol, writer))
        try:
            await self.take_up(session, protocol, reader, writer)
        except Broken as error:
            self.broken.append(str(error))
        finally:
            session.end("socket lost")
            await sending
            await self.flush(protocol, writer)

    async def take_up(self, session, protocol, reader, writer):
        message, got = bytearray(), 0
        await self.flush(protocol, writer)
        await asyncio.sleep(self.faults.deaf)
        while (data := await reader.read(1 << 16)) and not session.ended:
            got += len(data)
            if self.faults.socket_dies_after and got > self.faults.socket_dies_after:
                return
            if self.faults.mute:
                continue
            protocol.receive_data(data)
            for event in protocol.events_received():
                if not isinstance(event, Frame) or event.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
                    continue
                if event.opcode is Opcode.TEXT:
                    raise Broken("text")
                message += event.data
                if event.fin:
                    session.take(bytes(message))
                    message.clear()
            await self.flush(protocol, writer)
            if protocol.state is not State.OPEN:
                return

    async def send_down(self, session, protocol, writer):
        try:
            while True:
                await session.some.wait()
                if session.ended or protocol.state is not State.OPEN:
                    return
                batch = session.next_batch(64 << 10)
                if self.faults.chop and len(batch) > 3:
                    cut = 1 + len(batch) // 3
                    protocol.send_binary(batch[:cut], fin=False)
                    protocol.send_continuation(batch[cut:], fin=True)
                elif batch:
                    protocol.send_binary(batch)
                await self.flush(protocol, writer)
        except ConnectionError:
            session.end("socket lost")

    async def flush(self, protocol, writer):
        for data in protocol.data_to_send():
            if data:
                writer.write(data)
        await writer.drain()
