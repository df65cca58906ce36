"""Real Telegram clients through the built binary, plain, dd and ee, on both
routes, in one process and through front and back, and as streams of WEB sessions. run.sh starts this where there is no network but loopback.
"""

import asyncio
import contextlib
import errno
import os
import re
import signal
import socket
import sys
import tempfile
import time
import urllib.request
import warnings

import telethon_client as telethon
from processes import Child, FakeTelegram, Proxy, WebGateway, run_proxy
from tdlib import Refused, TdLib

DEADLINE = 60  # seconds for one case; TDLib gives up a ping after 10
DOMAIN = "example.com".encode().hex()
SECRETS = {
    "plain": "00112233445566778899aabbccddeeff",
    "dd": "dd10112233445566778899aabbccddeeff",
    "ee": f"ee20112233445566778899aabbccddeeff{DOMAIN}",
}
WRONG = {kind: secret.replace("2233", "3322") for kind, secret in SECRETS.items()}
# Telethon's connections, and the secrets that they may be used with.
CONNECTIONS = {
    "abridged": (telethon.Abridged, SECRETS["plain"]),
    "intermediate": (telethon.Intermediate, SECRETS["plain"]),
    "padded, dd": (telethon.Padded, SECRETS["dd"]),
    "fake TLS, ee": (telethon.FakeTls, SECRETS["ee"]),
}
# Abridged has a longer header from 508 bytes on, a TLS record ends at 16 KiB.
LENGTHS = (8, 504, 508, 16384, 20004)
# What a connection to Telegram may go through, and the fake's words for it.
BESIDE = {
    f"via {scheme}": ("--via", scheme, "--via-credentials", "anna:secret")
    for scheme in ("socks5", "http")
}
# Whose web front is between, for the route that goes by it, and how that is told to the proxy.
FRONTS = {
    "ws": ("telegram", [("--ws", f"{dc}=") for dc in (1, 2, 3, 4, 5, 10001, 10002, 10003)]),
    "zone": ("zone", [("--cloudflare-zone", "zone.example=")]),
    "worker": ("worker", [("--cloudflare-worker", "tunnel.example=")]),
}
# What a WEB host is called, and the apps that real clients come in.
WEB_HOST = "web.example.com"
WEB_APPS = {
    "websocket": ("--carrier", "websocket", "--app", "desktop"),
    "websocket, cut anywhere": ("--carrier", "websocket", "--app", "android", "--cut", "7"),
    "https": ("--carrier", "https", "--app", "desktop"),
    "https as telethon-webproxy": ("--carrier", "https", "--app", "telethon"),
}
LINK_KEY = "0123456789abcdef" * 2


class Server:
    """A proxy with a fake Telegram of its own; in split mode `proxy` is the
    front."""

    def __init__(self, number):
        self.port, self.metrics_port = 2000 + number, 3000 + number
        self.back = None
        self.gateways = {}

    @classmethod
    async def start(cls, number, directory, flags, beside=()):
        """`beside`: what the fake is to run beside itself, whose flags are in its own."""
        self = cls(number)
        self.telegram = await FakeTelegram.start(*beside)
        own = ["--data-dir", f"{directory}/{number}", *flags]
        self.proxy = await Proxy.start([*self.telegram.flags, *own])
        return self

    @classmethod
    async def start_configured(cls, number, directory, route, beside=()):
        return await cls.start(number, directory, cls._for_clients(number, route), beside)

    @classmethod
    async def start_fronted(cls, number, directory, route):
        """Telegram is reached by a web front alone."""
        kind, places = FRONTS[route]
        self, authority = cls(number), f"{directory}/{route}-ca.pem"
        self.telegram = await FakeTelegram.start("--web-front", authority, "--web-front-kind", kind)
        front = (await self.telegram.wait_for("^web-front (.*)")).group(1)
        flags = [*self.telegram.flags, "--data-dir", f"{directory}/{number}", "--ws-ca", authority]
        for flag, place in places:
            flags += [flag, f"{place}{front}"]
        self.proxy = await Proxy.start([*flags, *cls._for_clients(number, route)])
        return self

    @classmethod
    async def start_chained(cls, number, directory):
        """By another proxy, `back`, which has one of its secrets too."""
        self = await cls.start_configured(number, directory, "direct")
        upstream = f"127.0.0.1:{self.port}:{SECRETS['plain']}"
        self.back, self.port = self.proxy, 2100 + number
        data = ["--data-dir", f"{directory}/{number}-chained", "--upstream", upstream]
        clients = cls._for_clients(number + 100, "upstream")
        self.proxy = await Proxy.start([*self.telegram.flags, *data, *clients])
        return self

    @classmethod
    async def start_web(cls, number, directory, route):
        """A WEB proxy too, with a gateway for each app and secret that may come so."""
        door = f"127.0.0.1:{5000 + number}"
        site = f"{directory}/site"
        os.makedirs(site, exist_ok=True)
        with open(f"{site}/index.html", "w") as file:
            file.write("<p>A site.</p>\n")
        web = ["--web", WEB_HOST, "--web-listen", door, "--web-site", site]
        flags = cls._for_clients(number, route) + web
        self = await cls.start(number, directory, flags)
        self.gateways = {}
        kinds = [(app, kind) for app in WEB_APPS for kind in ("plain", "dd")]
        for port, (app, kind) in enumerate(kinds, 6000 + 100 * number):
            words = ["--listen", f"127.0.0.1:{port}", "--door", door, "--host", WEB_HOST]
            words += ["--secret", SECRETS[kind], *WEB_APPS[app]]
            self.gateways[app, kind] = port, await WebGateway.start(*words)
        return self

    @classmethod
    async def start_split(cls, number, directory, route, beside=()):
        """Only the back knows Telegram."""
        self = cls(number)
        self.telegram = await FakeTelegram.start(*beside)
        key = f"{directory}/{number}.psk"
        with open(key, "w") as file:
            file.write(LINK_KEY)
        link = f"127.0.0.1:{4000 + number}"
        data = f"{directory}/{number}"
        back = ["--role", "back", "--link-listen", link, "--link-psk", key]
        back += ["--data-dir", f"{data}-back"]
        self.back = await Proxy.start([*self.telegram.flags, *back], "smol-mtproxy .* back:")
        front = ["--role", "front", "--link", link, "--link-psk", key]
        front += ["--data-dir", f"{data}-front", *cls._for_clients(number, route)]
        self.proxy = await Proxy.start(front, "linked to the back")
        return self

    @staticmethod
    def _for_clients(number, route):
        flags = ["--listen", f"127.0.0.1:{2000 + number}", "--metrics", f"{3000 + number}"]
        flags += ["--allow", "classic,dd,tls", "--log-level", "debug", "--route", route]
        for kind, secret in SECRETS.items():
            flags += ["--secret", f"{kind}={secret}"]
        return flags

    def processes(self):
        """The clients' end first."""
        return [self.proxy, *filter(None, [self.back])]

    async def until_metric(self, name, value):
        while await asyncio.to_thread(self._metric, name) < value:
            await asyncio.sleep(0.05)

    def _metric(self, name):
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url) as page:
            text = page.read().decode()
        match = re.search(rf"^{re.escape(name)} (\d+)", text, re.MULTILINE)
        return int(match.group(1)) if match else 0


class Report:
    def __init__(self, words):
        self.words = words
        self.passed = self.failed = 0
        # Telethon's cryptography is all Python: more at a time are no faster.
        self.places = asyncio.Semaphore(4)

    async def case(self, name, server, steps, *args):
        """Runs `steps(*args)`; shows the server's log if they fail."""
        start = time.monotonic()
        try:
            await asyncio.wait_for(steps(*args), DEADLINE)
        except Exception as error:
            self.failed += 1
            print(f"FAIL  {name}: {error!r}")
            for process in server.processes():
                for line in process.tail():
                    print(f"      proxy: {line}")
        else:
            self.passed += 1
            print(f"ok    {name} ({time.monotonic() - start:.1f} s)")
        sys.stdout.flush()

    async def wanted(self, name, *case):
        if not self.words or any(word in name for word in self.words):
            await self.case(name, *case)

    async def in_turn(self, *case):
        async with self.places:
            await self.wanted(*case)


async def main(words):
    refuse_other_networks()
    warnings.filterwarnings("ignore", message="proxy argument will be ignored")
    this, loop = asyncio.current_task(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, this.cancel)
    report = Report(words)
    try:
        with tempfile.TemporaryDirectory() as directory:
            await run(report, directory)
    finally:
        for child in Child.all:
            child.kill()
    print(f"{report.passed} passed, {report.failed} failed")
    return report.failed > 0 or report.passed == 0


async def run(report, directory):
    middle = await Server.start_configured(1, directory, "middle")
    direct = await Server.start_configured(2, directory, "direct")
    rotating = await Server.start_configured(3, directory, "middle")
    bare = await Server.start(4, directory, [])
    split_middle = await Server.start_split(5, directory, "middle")
    split_direct = await Server.start_split(6, directory, "direct")
    beside = {
        name: await Server.start_configured(number, directory, "direct", words)
        for number, (name, words) in enumerate(BESIDE.items(), 7)
    }
    split_beside = await Server.start_split(9, directory, "direct", BESIDE["via socks5"])
    beside["split, via socks5"] = split_beside
    for number, route in enumerate(FRONTS, 20):
        beside[route] = await Server.start_fronted(number, directory, route)
    beside["upstream"] = await Server.start_chained(30, directory)
    web = {
        f"web, {route}": await Server.start_web(number, directory, route)
        for number, route in enumerate(("middle", "direct"), 10)
    }
    tdlib = TdLib(f"{directory}/tdlib")
    await tdlib.start()
    await asyncio.gather(
        *tdlib_cases(report, "middle", middle, tdlib),
        *tdlib_cases(report, "direct", direct, tdlib),
        *telethon_cases(report, "middle", middle),
        *telethon_cases(report, "direct", direct),
        *error_cases(report, middle),
        *split_cases(report, "split, middle", split_middle, tdlib),
        *split_cases(report, "split, direct", split_direct, tdlib),
        *beside_cases(report, beside, tdlib),
        *web_cases(report, web, tdlib),
        report.in_turn("rotation: Telethon stays", rotating, stay, rotating),
        report.wanted("no config: TDLib pings through the link", bare, ping_link, bare, tdlib),
        report.wanted("check: finds this Telegram", middle, check, middle, directory),
        report.wanted("check: ends where there is no network", middle, check_alone, directory),
    )
    for name, server, unused in (
        ("middle", middle, "direct_accepted"),
        ("direct", direct, "middle_accepted"),
        ("rotation", rotating, "direct_accepted"),
        ("no config", bare, "middle_accepted"),
        ("split, middle", split_middle, "direct_accepted"),
        ("split, direct", split_direct, "middle_accepted"),
        *((name, server, "middle_accepted") for name, server in beside.items()),
        ("web, middle", web["web, middle"], "direct_accepted"),
        ("web, direct", web["web, direct"], "middle_accepted"),
    ):
        await report.case(f"{name}: everybody is content at the end", server, end, server, unused)
    await tdlib.close()


def tdlib_cases(report, route, server, tdlib):
    for kind, secret in SECRETS.items():
        name = f"{route}: TDLib pings, {kind}"
        yield report.wanted(name, server, tdlib.ping, "127.0.0.1", server.port, secret)
    for kind, secret in WRONG.items():
        name = f"{route}: TDLib is refused with a wrong secret, {kind}"
        yield report.wanted(name, server, be_refused, server, tdlib, secret)


def telethon_cases(report, route, server):
    for name, (kind, secret) in CONNECTIONS.items():
        arguments = (kind, server.port, secret)
        name = f"{route}: Telethon, {name}"
        yield report.in_turn(f"{name}, many lengths", server, talk, *arguments)
        yield report.in_turn(f"{name}, media of DC 4", server, greet, *arguments, -4)
        yield report.in_turn(f"{name}, the whole client", server, start_client, *arguments)


def error_cases(report, server):
    """An error that is not a session's first answer, which is kept back."""
    for name, (kind, secret) in CONNECTIONS.items():
        name = f"middle: Telethon, {name}, knows an error"
        yield report.in_turn(name, server, see_error, kind, server.port, secret)


def split_cases(report, route, server, tdlib):
    """Front and back, joined by a plain link with a key."""
    yield from tdlib_cases(report, route, server, tdlib)
    for name, (kind, secret) in CONNECTIONS.items():
        name = f"{route}: Telethon, {name}, many lengths"
        yield report.in_turn(name, server, talk, kind, server.port, secret)


def beside_cases(report, servers, tdlib):
    for name, server in servers.items():
        yield from split_cases(report, name, server, tdlib)


def web_cases(report, servers, tdlib):
    """In streams of WEB sessions, by way of a gateway."""
    for name, server in servers.items():
        for (app, kind), (port, _) in server.gateways.items():
            title = f"{name}, {app}: TDLib pings, {kind}"
            yield report.wanted(title, server, tdlib.ping, "127.0.0.1", port, SECRETS[kind])
        for app in WEB_APPS:
            for title, (connection, secret) in CONNECTIONS.items():
                kind = next(kind for kind in SECRETS if SECRETS[kind] == secret)
                if kind == "ee":
                    continue
                port, _ = server.gateways[app, kind]
                title = f"{name}, {app}: Telethon, {title}"
                arguments = (connection, port, secret)
                yield report.in_turn(f"{title}, many lengths", server, talk, *arguments)
                yield report.in_turn(f"{title}, the whole client", server, start_client, *arguments)


async def be_refused(server, tdlib, secret):
    try:
        seconds = await tdlib.ping("127.0.0.1", server.port, secret)
    except Refused:
        return
    raise AssertionError(f"served in {seconds} s")


async def talk(kind, port, secret):
    async with telethon.Connection(kind, port, secret) as connection:
        await connection.exchange_nonce()
        for length in LENGTHS:
            await connection.exchange_bytes(length)
        await connection.exchange_nonce()


async def greet(kind, port, secret, dc):
    async with telethon.Connection(kind, port, secret, dc) as connection:
        await connection.exchange_nonce()


async def see_error(kind, port, secret):
    async with telethon.Connection(kind, port, secret) as connection:
        await connection.exchange_nonce()
        await connection.provoke_error(404)


async def start_client(kind, port, secret):
    said = await telethon.start_whole_client(kind, port, secret)
    if not any("could not find a valid key" in line for line in said):
        raise AssertionError(f"it got no further than: {said}")


async def stay(server):
    """Connections outlive those of their middle proxies."""
    clients = [
        telethon.Connection(kind, server.port, secret) for kind, secret in CONNECTIONS.values()
    ]
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.gather(*map(stack.enter_async_context, clients))
        for rotation in (1, 2):
            for client in clients:
                await client.exchange_nonce()
            await server.telegram.ask("rotate all")
            moved = 'smol_mtproxy_migrations_total{outcome="moved_idle"}'
            await server.until_metric(moved, rotation * len(clients))
        for client in clients:
            await client.exchange_nonce()
            await client.exchange_bytes(4096)


async def ping_link(server, tdlib):
    """As a person does who has started the proxy with no config."""
    link = await server.proxy.wait_for(r"^tg://proxy\?server=(\S+)&port=(\d+)&secret=(\w+)")
    host, port, secret = link.groups()
    await tdlib.ping(host, int(port), secret)


async def check(server, directory):
    flags = [*server.telegram.flags, "--route", "middle", "--data-dir", directory]
    status, verdicts = await run_proxy("check", *flags)
    reached = [line for line in verdicts if re.match("ok    DC -?[0-9]+ middle proxy", line)]
    if status or len(reached) < 11:
        raise AssertionError(f"status {status}: {verdicts}")


async def check_alone(directory):
    status, verdicts = await run_proxy("check", "--data-dir", directory)
    failed = [line for line in verdicts if re.match("fail  DC [0-9]+ direct", line)]
    if status != 69 or len(failed) < 5:
        raise AssertionError(f"status {status}: {verdicts}")


async def end(server, unused):
    """The proxy ends when told, has used one route and kept to the protocol."""
    for _, gateway in server.gateways.values():
        if complaints := await gateway.violations():
            raise AssertionError(complaints)
    statuses = [await process.stop() for process in server.processes()]
    counters = await server.telegram.counters()
    violations = await server.telegram.violations()
    if any(statuses) or counters[unused] or violations:
        raise AssertionError(f"statuses {statuses}; {unused} {counters[unused]}; {violations}")
    if counters.get("via_opened") == 0:
        raise AssertionError("nothing went through --via")


def refuse_other_networks():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Nothing is sent: connecting a datagram socket only looks up the route.
        if sock.connect_ex(("192.0.2.1", 9)) != errno.ENETUNREACH:
            sys.exit("suite.py: there is a network here; start it with run.sh")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
