"""The built binary, with the fake Telegram behind it and three doors in front: its own TLS, on
the port that `ee` clients have too, nginx with our template, and a TLS front of these
tests, which can be told to misbehave."""

import asyncio
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

SECRET = "00112233445566778899aabbccddeeff"
# Below it the page of the host behind our own TLS that has one.
PATH = "dobry-cola-super-app/v2"
# Each name has its door.
TLS, BELOW, NGINX, FRONT = "tls.example.com", "below.example.com", "nginx.example.com", "front.example.com"
HOSTS = (TLS, BELOW, NGINX, FRONT)
TEMPLATE = pathlib.Path(__file__).parent / "../../config/web/nginx.conf"
# Ends of web sessions that no app of ours is to bring about.
BAD_ENDS = ("bad_frame", "bad_stream", "credit_overrun", "bad_sequence", "pushed_out")


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

    def tell(self, which):
        self._process.send_signal(which)

    async def stop(self, which=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(which)
        await self._process.wait()


class Product:
    key = bytes.fromhex(SECRET)

    def __init__(self, telegram, proxy, ports, config):
        self.telegram, self.proxy, self.ports, self._config = telegram, proxy, ports, config
        self._reading = None

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, directory):
        """`directory` has a certificate of `HOSTS` already."""
        directory = pathlib.Path(directory)
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(30) as starting:
            telegram = await Child.start(os.environ["FAKE_TELEGRAM_BIN"])
            stack.push_async_callback(telegram.stop)
            flags = (await telegram.until("^flags (.*)"))[1].split()
            await telegram.until("ready")
            ports = {name: free_port() for name in ("tls", "web", "metrics", "nginx")}
            site = directory / "site"
            site.mkdir()
            (site / "index.html").write_text("<h1>Welcome</h1>")
            files = f",cert={directory}/own.pem,key={directory}/key.pem"
            hosts = [f"{TLS}{files}", f"{BELOW}/{PATH}{files}", NGINX, FRONT]
            flags += ["--listen", f"127.0.0.1:{ports['tls']}", "--secret", SECRET, "--allow", "classic"]
            flags += [word for host in hosts for word in ("--web", host)]
            flags += ["--web-listen", f"127.0.0.1:{ports['web']}", "--web-site", str(site)]
            flags += ["--metrics", f"127.0.0.1:{ports['metrics']}", "--data-dir", tempfile.mkdtemp(dir=directory)]
            flags += ["--self-test", "no"]
            config = directory / "smol-mtproxy.conf"
            lines = [" ".join(pair) for pair in zip(flags[::2], flags[1::2], strict=True)]
            config.touch(0o600)
            config.write_text("\n".join(lines) + "\n")
            proxy = await Child.start(os.environ["SMOL_MTPROXY_BIN"], "run", "--config", str(config))
            stack.push_async_callback(proxy.stop)
            # It says it when clients are served.
            await proxy.until("at most [0-9]+ clients")
            self = cls(telegram, proxy, ports, config)
            reading = asyncio.create_task(proxy.until("^never said$"))
            stack.callback(reading.cancel)
            if nginx := shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
                server = await Child.start(nginx, "-p", str(directory), "-c", self._nginx(directory))
                # Its workers end with it only if it is asked.
                stack.push_async_callback(server.stop, signal.SIGTERM)
                await answers(ports["nginx"])
            else:
                del ports["nginx"]
            starting.reschedule(None)
            yield self

    def _nginx(self, directory):
        """Our template as an operator fills it in, and what a distribution has around it."""
        text = TEMPLATE.read_text()
        for pattern, filling in (
            (r"proxy\.example\.com", NGINX),
            (r"127\.0\.0\.1:8080", f"127.0.0.1:{self.ports['web']}"),
            (r"listen 443 ssl", f"listen 127.0.0.1:{self.ports['nginx']} ssl"),
            (r"\n *listen \[::\]:443 ssl;", ""),
            (r"/etc/letsencrypt/live/[^/]*/fullchain\.pem", f"{directory}/own.pem"),
            (r"/etc/letsencrypt/live/[^/]*/privkey\.pem", f"{directory}/key.pem"),
            (r"/var/log/nginx/error\.log", f"{directory}/nginx.log"),
        ):
            text, count = re.subn(pattern, filling, text)
            assert count, f"{pattern} is not in the template"
        temporary = "".join(
            f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        whole = f"{user} daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;"
        whole += f"events {{ worker_connections 1024; }} http {{ access_log off; {temporary}\n{text}\n}}"
        file = directory / "nginx.conf"
        file.write_text(whole)
        return str(file)

    @property
    def rules(self):
        """Where its hosts' names lead, but for that of these tests' front."""
        doors = {TLS: "tls", BELOW: "tls", NGINX: "nginx"}
        return [f"MAP {host}:443 127.0.0.1:{self.ports[door]}" for host, door in doors.items() if door in self.ports]

    async def metric(self, name):
        """Its value, that of all its labels together, or of `name{label="…"}`."""
        found = re.findall(rf"^\w*{re.escape(name)}(?:{{[^}}]*}})? (\d+)$", await self.metrics(), re.MULTILINE)
        assert found, f"no {name}"
        return sum(map(int, found))

    async def metrics(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["metrics"])
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = (await reader.read(-1)).decode()
        writer.close()
        return text

    async def story(self):
        """What it counted of WEB, and said last."""
        counted = re.findall(r"^\w*(web_\w+(?:{[^}]*})? [1-9]\d*)$", await self.metrics(), re.MULTILINE)
        return "; ".join([*counted, *[line for line in self.proxy.lines if "DEBUG" in line][-4:]])

    async def ends(self, reason):
        return await self.metric(f'web_ends_total{{reason="{reason}"}}')

    async def sessions(self):
        return await self.metric("web_sessions")

    async def reload(self, without=None):
        """Takes a config over in which that host is not."""
        kept = [line for line in self._config.read_text().splitlines() if not without or without not in line]
        whole = self._config.read_text()
        self._config.write_text("\n".join(kept) + "\n")
        before = await self.metric("config_reloads_total")
        self.proxy.tell(signal.SIGHUP)
        async with asyncio.timeout(5):
            while await self.metric("config_reloads_total") == before:
                await asyncio.sleep(0.02)
        self._config.write_text(whole)

    async def is_content(self):
        """Telegram, with what the proxy has sent it, and the proxy, with what the page has."""
        await self.telegram.ask("violations")
        await self.telegram.ask("ping")
        start = len(self.telegram.lines)
        await self.telegram.until("^ok")
        said = [line for line in self.telegram.lines[start:-1] if line]
        assert not said, said
        bad = [reason for reason in BAD_ENDS if await self.ends(reason)]
        assert not bad, bad


async def answers(port):
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                return
            await asyncio.sleep(0.05)
