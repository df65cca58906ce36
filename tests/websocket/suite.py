"""`websockets`, a library, against both of our ends: its client at the web front
of the fake Telegram, and its server as the web front of the proxy. run.sh starts
this where there is no network but loopback."""

import asyncio
import contextlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time

import websockets
from mtproto import Stream, echo
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

DEADLINE = 60  # seconds for one case
HOST = "kws2.web.telegram.org"
LENGTHS = (8, 100, 508, 16384, 70000, 1 << 20)
SECRET = "00112233445566778899aabbccddeeff"
# What the fake's front makes of what the DC says.
CUTS = ("cut 65536", "cut 100", "cut 50 3", "cut 7000 5", "exactly 1048576", "exactly 16777216")


class Child:
    """A process that speaks in lines."""

    def __init__(self, process):
        self._process = process
        self.lines = []

    @classmethod
    async def start(cls, *command):
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        )

    async def until(self, pattern):
        """The match of the next line that has it."""
        while line := await self._process.stdout.readline():
            self.lines.append(line.decode(errors="replace").rstrip())
            if match := re.search(pattern, self.lines[-1]):
                return match
        raise ChildProcessError("it has ended: " + " | ".join(self.lines[-5:]))

    async def ask(self, words):
        self._process.stdin.write(f"{words}\n".encode())
        await self._process.stdin.drain()

    async def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Telegram(Child):
    @classmethod
    async def launch(cls, directory):
        self = await cls.start(os.environ["FAKE_TELEGRAM_BIN"], "--web-front", f"{directory}/ca.pem")
        self.front = (await self.until(r"web-front (\S+)"))[1]
        self.directs = {}
        self.flags = (await self.until("^flags (.*)"))[1].split()
        for line in self.lines:
            if match := re.match(r"direct (\d+) \[(\S+)\]", line):
                self.directs[int(match[1])] = match[2]
        await self.until("ready")
        return self

    async def told(self, words):
        await self.ask(words)
        return (await self.until("ok|^[0-9]"))[0]

    async def violations(self):
        await self.ask("violations")
        await self.ask("ping")
        start = len(self.lines)
        await self.until("^ok")
        return [line for line in self.lines[start:-1] if line]


def trusting(ca):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextlib.asynccontextmanager
async def visit(telegram, directory):
    """Their client at our front: with no fields of its own it says just what the
    front demands."""
    host, port = telegram.front.split(":")
    async with connect(
        f"wss://{HOST}/apiws",
        host=host,
        port=int(port),
        ssl=trusting(f"{directory}/ca.pem"),
        server_hostname=HOST,
        subprotocols=["binary"],
        compression=None,
        user_agent_header=None,
        ping_interval=None,
        max_size=None,
        proxy=None,
    ) as socket:
        yield socket


async def parts(socket):
    """What comes, frame by frame: a message may never end."""
    while True:
        async for part in socket.recv_streaming():
            yield part


async def exchange(socket, lengths):
    stream, coming = Stream(2), parts(socket)
    await socket.send(stream.header)
    for length in lengths:
        payload = echo(length)
        await socket.send(stream.packet(payload))
        while (answer := stream.next()) is None:
            stream.push(await anext(coming))
        assert answer == payload, f"{length} bytes"


async def their_client_is_served(telegram, directory):
    async with visit(telegram, directory) as socket:
        assert socket.subprotocol == "binary"
        await exchange(socket, LENGTHS)


async def their_client_reads_any_cut(telegram, directory, cut, pings):
    await telegram.told(f"web-front {cut}")
    await telegram.told(f"web-front pings {pings}")
    try:
        # A frame that never ends is read whole by no library.
        long = cut.startswith("exactly")
        async with visit(telegram, directory) as socket:
            if not long:
                await exchange(socket, LENGTHS[:5])
            else:
                stream = Stream(2)
                await socket.send(stream.header)
                taking = asyncio.create_task(socket.recv())
                size, got = int(cut.split()[1]), 0
                # As much as one frame takes, and no more.
                while got < size:
                    length = min(1 << 20, size - got - 4)
                    if length < 8:
                        break
                    await socket.send(stream.packet(echo(length)))
                    got += length + 4
                assert len(await taking) == size == got
    finally:
        await telegram.told("web-front cut 65536")
        await telegram.told("web-front pings off")


async def a_close_has_code_and_text(telegram, directory):
    async with visit(telegram, directory) as socket:
        assert await telegram.told("web-front close 1000 404") == "1"
        try:
            await socket.recv()
        except ConnectionClosed as end:
            assert (end.rcvd.code, end.rcvd.reason) == (1000, "404")
            assert end.rcvd_then_sent
        else:
            raise AssertionError("no close")


class TheirFront:
    """A web front made of their server: whatever it is sent goes to the DC as the
    header names it, and it says when a message was no packet."""

    def __init__(self, telegram, fragments, ping):
        self.telegram, self.fragments, self.ping = telegram, fragments, ping
        self.messages = []
        self.pongs = 0

    async def serve(self, socket):
        # A connection that is kept ready may not be needed.
        with contextlib.suppress(ConnectionClosed):
            await self.talk(socket)

    async def talk(self, socket):
        if self.ping:
            await (await socket.ping(b"are you there"))
            self.pongs += 1
        header = await socket.recv()
        self.messages.append(len(header))
        host, port = self.telegram.directs[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(header)
        pumping = asyncio.create_task(self.pump(reader, socket))
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                self.messages.append(len(message))
                writer.write(message)
                await writer.drain()
        writer.close()
        await pumping

    async def pump(self, reader, socket):
        with contextlib.suppress(ConnectionClosed):
            while data := await reader.read(1 << 16):
                size = self.fragments
                if size:
                    await socket.send([data[at : at + size] for at in range(0, len(data), size)])
                else:
                    await socket.send(data)
                if self.ping:
                    await (await socket.ping())
                    self.pongs += 1


def made_certificate(directory):
    """A certificate of the front's names, which is its own authority."""
    names = ",".join(f"DNS:kws{dc}{media}.web.telegram.org" for dc in range(1, 6) for media in ("", "-1"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=web front", "-addext", f"subjectAltName={names}"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"]
        + ["-keyout", f"{directory}/key.pem", "-out", f"{directory}/own.pem"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/own.pem", f"{directory}/key.pem")
    return context


async def our_proxy_at_their_server(telegram, directory, fragments, ping):
    front = TheirFront(telegram, fragments, ping)
    async with serve(
        front.serve,
        "127.0.0.1",
        0,
        ssl=made_certificate(directory),
        subprotocols=["binary"],
        compression=None,
        ping_interval=None,
        max_size=None,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        flags = [*telegram.flags, "--listen", "127.0.0.1:2001", "--secret", SECRET]
        flags += ["--allow", "classic", "--route", "ws", "--ws-ca", f"{directory}/own.pem"]
        for dc in range(1, 6):
            flags += ["--ws", f"{dc}=127.0.0.1:{port}"]
        data = tempfile.mkdtemp(dir=directory)
        proxy = await Child.start(os.environ["SMOL_MTPROXY_BIN"], *flags, "--self-test", "no", "--data-dir", data)
        try:
            await asyncio.wait_for(proxy.until("tg://"), 20)
            reader, writer = await asyncio.open_connection("127.0.0.1", 2001)
            stream = Stream(2, bytes.fromhex(SECRET))
            writer.write(stream.header)
            for length in LENGTHS:
                payload = echo(length)
                writer.write(stream.packet(payload))
                while (answer := stream.next()) is None:
                    data = await reader.read(1 << 16)
                    assert data, "the proxy has closed"
                    stream.push(data)
                assert answer == payload, f"{length} bytes"
            writer.close()
            sent = [64, *(length + 4 for length in LENGTHS)]
            assert front.messages == sent, f"{front.messages}"
            assert not ping or front.pongs > 1
        finally:
            await proxy.stop()


def knows_websocket():
    """Builds without TLS know no WebSocket."""
    command = [os.environ["SMOL_MTPROXY_BIN"], "--help"]
    shown = subprocess.run(command, capture_output=True, text=True)
    return "--ws-ca" in shown.stdout + shown.stderr


def cases():
    yield "their client is served", their_client_is_served, ()
    for cut in CUTS:
        for pings in ("off", "on"):
            yield f"their client reads {cut}, pings {pings}", their_client_reads_any_cut, (cut, pings)
    yield "a close has code and text", a_close_has_code_and_text, ()
    if not knows_websocket():
        return
    for fragments, ping in ((0, False), (0, True), (1000, True), (7, False)):
        told = f"fragments of {fragments or 'none'}, pings {'on' if ping else 'off'}"
        yield f"our proxy at their server: {told}", our_proxy_at_their_server, (fragments, ping)


async def main(words):
    passed = failed = 0
    print(f"websockets {websockets.__version__}, {ssl.OPENSSL_VERSION}")
    for name, steps, arguments in cases():
        if words and not any(word in name for word in words):
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            telegram = await Telegram.launch(directory)
            try:
                await asyncio.wait_for(steps(telegram, directory, *arguments), DEADLINE)
                assert not (said := await telegram.violations()), said
                passed += 1
                print(f"ok    {name} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL  {name}: {error!r}", flush=True)
            finally:
                await telegram.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(asyncio.run(main(sys.argv[1:])))
