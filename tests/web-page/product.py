"""The built binary behind a TLS front of ours, and the fake Telegram behind it."""

import asyncio
import contextlib
import os
import pathlib
import re
import socket
import tempfile

SECRET = "00112233445566778899aabbccddeeff"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Child:
    """A process that speaks in lines."""

    def __init__(self, process):
        self._process = process
        self.lines = []

    @classmethod
    async def start(cls, *command):
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT))

    async def until(self, pattern):
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


class Product:
    key = bytes.fromhex(SECRET)
    carriers = ""

    def __init__(self, telegram, proxy, port):
        self.telegram, self.proxy, self.port = telegram, proxy, port

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, directory, host):
        telegram = await Child.start(os.environ["FAKE_TELEGRAM_BIN"])
        proxy = None
        try:
            async with asyncio.timeout(30):
                flags = (await telegram.until("^flags (.*)"))[1].split()
                await telegram.until("ready")
                port = free_port()
                site = pathlib.Path(directory) / "site"
                site.mkdir()
                (site / "index.html").write_text("<h1>Welcome</h1>")
                flags += ["--listen", f"127.0.0.1:{free_port()}", "--secret", SECRET, "--allow", "classic"]
                flags += ["--web", host, "--web-listen", f"127.0.0.1:{port}", "--web-site", str(site)]
                data = tempfile.mkdtemp(dir=directory)
                proxy = await Child.start(os.environ["SMOL_MTPROXY_BIN"], *flags, "--data-dir", data)
                await proxy.until("tg://")
            reading = asyncio.create_task(proxy.until("^never said$"))
            yield cls(telegram, proxy, port)
            reading.cancel()
        finally:
            for child in (proxy, telegram):
                if child:
                    await child.stop()

    async def is_content(self):
        """Telegram, with what the proxy has sent it."""
        await self.telegram.ask("violations")
        await self.telegram.ask("ping")
        start = len(self.telegram.lines)
        await self.telegram.until("^ok")
        said = [line for line in self.telegram.lines[start:-1] if line]
        assert not said, said
