"""The proxy and the fake Telegram as child processes."""

import asyncio
import contextlib
import os
import re
import signal

START = 20  # seconds
STOP = 15


class Child:
    """A process whose output lines are kept."""

    all = []

    def __init__(self, process):
        self.all.append(self)
        self._process = process
        self._news = asyncio.Condition()
        self.lines = []
        self._reading = asyncio.create_task(self._read())

    @staticmethod
    async def spawn(command):
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _read(self):
        async for line in self._process.stdout:
            await self._add(line.decode(errors="replace").rstrip("\n"))
        await self._add(None)

    async def _add(self, line):
        async with self._news:
            self.lines.append(line)
            self._news.notify_all()

    async def wait_for(self, pattern, seconds=START, start=0):
        """The match of the first line, from `start` on, that has `pattern`."""

        def found():
            for line in self.lines[start:]:
                if line is None:
                    raise ChildProcessError("it has ended: " + " | ".join(self.tail(3)))
                if match := re.search(pattern, line):
                    return match

        async with self._news:
            return await asyncio.wait_for(self._news.wait_for(found), seconds)

    def tail(self, count=20):
        """Its last lines, QR codes left out."""
        return [line for line in self.lines if line and not re.search("[█▀]", line)][-count:]

    async def ask(self, line):
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def ended(self):
        status = await self._process.wait()
        await self._reading
        return status

    async def stop(self):
        """Its exit status; killed if it takes too long."""
        try:
            self._process.send_signal(signal.SIGTERM)
            return await asyncio.wait_for(self._process.wait(), STOP)
        except ProcessLookupError:
            return self._process.returncode
        except asyncio.TimeoutError:
            self.kill()
            raise
        finally:
            await self._reading

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


class FakeTelegram(Child):
    @classmethod
    async def start(cls, *words):
        self = cls(await cls.spawn([os.environ["FAKE_TELEGRAM_BIN"], *words]))
        flags = await self.wait_for("^flags (.*)")
        self.flags = flags.group(1).split()
        await self.wait_for("^ready$")
        return self

    async def counters(self):
        start = len(self.lines)
        await self.ask("stats")
        await self.wait_for("^http_requests ", start=start)
        pairs = (line.split() for line in self.lines[start:])
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}

    async def violations(self):
        """What it has to complain about, told as its last words."""
        start = len(self.lines)
        await self.ask("violations")
        await self.ask("quit")
        await asyncio.wait_for(self._reading, STOP)
        return [line for line in self.lines[start:] if line]


class Proxy(Child):
    @classmethod
    async def spawn_with(cls, words):
        runner = os.environ.get("SMOL_MTPROXY_RUNNER", "").split()
        return cls(await cls.spawn([*runner, os.environ["SMOL_MTPROXY_BIN"], *words]))

    @classmethod
    async def start(cls, flags, sign="smol-mtproxy .* clients"):
        # Its question to a DC would be counted with those of clients.
        self = await cls.spawn_with([*flags, "--self-test", "no"])
        await self.wait_for(sign)
        return self


class WebGateway(Child):
    """Lets clients come to a WEB proxy by TCP, as a strict app of its kind."""

    @classmethod
    async def start(cls, *words):
        self = cls(await cls.spawn([os.environ["WEB_GATEWAY_BIN"], *words]))
        await self.wait_for("^ready$")
        return self

    async def violations(self):
        """What it has to complain about, told as its last words."""
        self._process.stdin.close()
        await asyncio.wait_for(self.ended(), STOP)
        return [line for line in self.lines if line and line.startswith("violation: ")]


async def run_proxy(*words):
    """The exit status and the lines of one of its short-lived commands."""
    command = await Proxy.spawn_with(words)
    status = await command.ended()
    return status, command.tail(100)
