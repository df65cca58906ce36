"""The bridge page in Chromium, between a strict app (app.js) and a strict relay
(relay.py), or with `--product` the built binary and the fake Telegram, by each of its doors
(product.py). run.sh starts this where there is no network but loopback."""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import netlog
from browser import Browser
from front import Front, certificate, pages
from product import BELOW, FRONT, HOSTS, NGINX, PATH, TLS, Product
from relay import Relay, base64url, capability

HOST = "proxy.example.com"
KEY = bytes(range(16))
HERE = pathlib.Path(__file__).parent
PAGE = HERE / "../../src/web/page/bridge.html"
DEADLINE = 120  # seconds for one case
# A session token's and a bootstrap token's life, in seconds.
EXPIRY = 120
NATIVE = ("desktop", "desktop-groups", "android", "android-base64")
KINDS = (*NATIVE, "browser")
CARRIERS = ("websocket", "https")


# Where it is not the page that says which carrier is tried.
NO_SOCKETS = "window.WebSocket = function () { throw Error('no WebSockets here'); };"


@dataclasses.dataclass
class Case:
    name: str
    steps: object
    arguments: tuple = ()
    host: str = HOST
    carriers: str = "websocket https"
    path: str = ""
    # The network does what it should: nothing that fails in it may be seen.
    is_quiet: bool = False
    deadline: int = DEADLINE


@dataclasses.dataclass
class Bench:
    """What all cases have. Of `relay` and `product` one is None."""

    browser: Browser
    relay: Relay
    product: Product
    front: Front
    around: int  # the port of the page around an iframe
    case: Case = None
    closed: int = 0  # sessions that apps have closed, before this case

    @property
    def faults(self):
        return (self.relay or self.front).faults

    @property
    def codec(self):
        return f"await makeApp.codec({{ secret: '{self.product.key.hex()}' }})" if self.product else "await makeApp.codec({})"

    async def begin(self, case):
        self.case = case
        if self.relay:
            return self.relay.begin(case.path, case.carriers)
        self.front.renew()
        if case.host == FRONT and case.carriers == "https":
            self.faults.socket = "refuse"
        await self.forgotten()
        self.closed = await self.product.ends("closed_by_app")

    async def is_content(self):
        if self.product:
            return await self.product.is_content()
        assert not self.relay.broken, self.relay.broken

    async def forgotten(self, seconds=5):
        """The product has no session any more."""
        async with asyncio.timeout(seconds):
            while await self.product.sessions():
                await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def visit(self, kind, script=""):
        """An app of that kind at the case's bridge page, which it has just opened."""
        host, path = self.case.host, self.case.path
        base = f"/{path}/" if path else "/"
        nonce = base64url(os.urandom(32))
        bridge = capability(self.product.key if self.product else KEY, host, path)
        url = f"https://{host}{base}?bridge={bridge}"
        grants = "each" if kind.startswith("android") else "many"
        # In the browser nobody takes anything away; what the page uses is the same.
        restrict = f"makeApp.restrict({'true' if kind == 'android' else 'false'});"
        native = f"window.app = makeApp.native('{kind}', '{nonce}', '{base}', '{grants}');" if kind in NATIVE else ""
        if self.product and host != FRONT and self.case.carriers == "https":
            script += NO_SOCKETS
        own = f"if (location.host === '{host}') {{ {native} {restrict} {script} }}"
        async with self.browser.tab() as tab:
            await tab.before_each_document(f"{(HERE / 'app.js').read_text()}\n{own}")
            if kind == "browser":
                await tab.go(f"http://127.0.0.1:{self.around}/?{url}")
            else:
                await tab.go(f"{url}#android={nonce}")
            app = App(self, tab, kind, f"https://{host}{base}")
            try:
                yield app
            except BaseException as error:
                error.add_note(f"{tab.wrong} {tab.failed}")
                # What the page says at its end is not for the next case.
                await tab.go("about:blank")
                await asyncio.sleep(1)
                raise
            if not app.is_gone:
                fatal = await tab.run("return app.fatal")
                assert not fatal, fatal
            # However it ends, the relay hears of it, once.
            await tab.go("about:blank")
            await self.has_heard_of_the_end()
            assert not tab.wrong, tab.wrong
            assert not (self.case.is_quiet and tab.failed), tab.failed

    async def has_heard_of_the_end(self):
        if self.product:
            return await self.forgotten()
        made = sum(session is not None for session in self.relay.bootstraps.values())
        try:
            await soon(lambda: self.relay.asked.count("DELETE session") == made)
        except TimeoutError:
            raise AssertionError(f"{made} sessions, then {self.relay.asked[-5:]}, {self.relay.ends}") from None


class App:
    def __init__(self, bench, tab, kind, address):
        self.bench, self.tab, self.kind, self.address = bench, tab, kind, address
        self.is_gone = False

    async def welcomed(self, seconds=10):
        if self.kind == "browser":
            await self.framed()
            await self.tab.run("app.begin()")
        await self.until("app.states.includes('connected')", seconds)
        frames = await self.tab.addresses()
        assert frames[-1] == self.address, frames

    async def framed(self):
        """The page is there, in its frame, and has not been told anything yet."""
        await soon_true(self.tab, "window.framed !== undefined")
        await self.tab.run("await window.framed; window.app = makeApp.browser(iframe, origin, 'many')")

    async def until(self, condition, seconds=20):
        await self.tab.run(f"await app.until('{condition.replace(chr(39), '')}', () => {condition}, {seconds})")

    async def echo(self, total, packet=60000, streams=1, seconds=60):
        each = f"app.echo({self.bench.codec}, {total}, {packet}, {seconds})"
        return await self.tab.run(
            f"const all = []; for (let i = 0; i < {streams}; i++) all.push((async () => {each})());"
            "for (const one of await Promise.all(all)) one.close()"
        )

    async def states(self):
        return await self.tab.run("return app.states")

    async def failed(self, seconds=30):
        with contextlib.suppress(RuntimeError):
            await self.until("false", seconds)
        assert (await self.states())[-1] == "failed", await self.states()


async def soon(condition, seconds=5):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


# ---- whatever the relay is ----


async def echoes(bench, kind, streams, total):
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(total, streams=streams)
        if kind == "browser":
            await app.until(f"app.traffic.up >= {total * streams} && app.traffic.down >= {total * streams}", 5)
        longest = await app.tab.run("return app.longest")
        assert longest <= 64 << 10 or longest == (64 << 10) + 8, longest
        # The product offers both carriers, and must not have changed to the other.
        tries = 2 if bench.product and bench.case.carriers == "https" else 1
        assert await app.states() == ["connecting"] * tries + ["connected"], await app.states()


async def small_packets(bench, kind):
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(200_000, packet=100, streams=3)


async def many_frames(bench, kind):
    """More frames at once than a message or a body may have."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.tab.run(
            "const one = await app.open(await makeApp.codec({})), frames = [];"
            "for (let i = 0; i < 20000; i++) frames.push(Uint8Array.of(2, one.id >> 16, one.id >> 8, one.id, 0, 0, 0, 1, i));"
            "one.mayStillSend -= 20000; app.send(...frames);"
            "await app.until('all', () => one.got === 20000, 30);"
            "let i = 0; for (const part of one.incoming) for (const byte of part) if (byte !== (i++ & 255)) throw Error('order')"
        )


async def closes_streams(bench, kind):
    """Streams that the app closes in the middle of everything do nothing to others."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.tab.run(
            f"const codec = async () => {bench.codec}; const other = app.echo(await codec(), 4000000, 60000, 60);"
            "for (let i = 0; i < 20; i++) { const one = await app.open(await codec());"
            "const packet = new Uint8Array(100004); new DataView(packet.buffer).setUint32(0, 100000, true); packet.fill(0x45, 4, 12);"
            "await one.write(packet); if (i % 2) await app.until('echo', () => one.got > 30000, 20); one.close(); }"
            "(await other).close()"
        )
        await app.echo(100_000)


async def slow_reader(bench, kind):
    """A stream whose app grants nothing stops at its credit, and another goes on."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.tab.run(
            f"const one = window.held = await app.open({bench.codec}); one.holds = true;"
            "for (let i = 0; i < 100; i++) { const packet = new Uint8Array(60004);"
            "new DataView(packet.buffer).setUint32(0, 60000, true); packet.fill(0x45, 4, 12); await one.write(packet); }"
            "await app.until('credit to be used', () => one.granted === 0, 30)"
        )
        await app.echo(5_000_000)
        got = await app.tab.run("return held.got")
        assert got == 4 << 20, got
        await app.tab.run("held.holds = false; held.grant(); await app.until('the rest', () => held.got === 6000400, 30)")


async def app_closes(bench, kind):
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(100_000)
        await app.tab.run("app.out.control({ t: 'close' })")
        await gone(bench)
        assert (await app.states())[-1] == "connected"


async def page_hides(bench, kind):
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(100_000)
        app.is_gone = True
        await app.tab.go("about:blank")
        await gone(bench)


async def gone(bench):
    """The session has been closed by its app, as the relay sees it."""
    if bench.relay:
        return await soon(lambda: "DELETE session" in bench.relay.asked and not bench.relay.sessions)
    await bench.forgotten()
    assert await bench.product.ends("closed_by_app") == bench.closed + 1


async def nobody(bench):
    """A page that somebody looks at does nothing: no app, an app without its nonce, a bad nonce."""
    native = f"{(HERE / 'app.js').read_text()}\nif (location.host === '{HOST}') makeApp.native('desktop', 'none', '/', 'many')"
    good, bad = base64url(os.urandom(32)), base64url(os.urandom(31))
    for script, fragment in (("", f"#android={good}"), (native, ""), (native, f"#android={bad}")):
        bench.relay.renew()
        async with bench.browser.tab() as tab:
            await tab.before_each_document(script)
            await tab.go(f"https://{HOST}/?bridge={bench.relay.capability}{fragment}")
            await soon_true(tab, f"location.href === 'https://{HOST}/' && document.readyState === 'complete'")
            assert not tab.wrong and not bench.relay.asked and bench.relay.pages == 1, tab.wrong


async def soon_true(tab, condition):
    async with asyncio.timeout(5):
        while not await tab.run(f"return {condition}"):
            await asyncio.sleep(0.02)


async def another_origin(bench):
    """Only a page of http://127.0.0.1 may have it in a frame."""
    async with bench.browser.tab() as tab:
        key, host = bench.product.key if bench.product else KEY, bench.case.host
        await tab.go(f"http://localhost:{bench.around}/?https://{host}/?bridge={capability(key, host)}")
        await soon(lambda: any("frame-ancestors" in text or "frame" in text for text in tab.wrong))
        assert not (bench.relay and bench.relay.asked)


# ---- what goes wrong ----


async def no_socket(bench, kind, how):
    bench.faults.socket = how
    async with bench.visit(kind) as app:
        await app.welcomed()
        assert await app.states() == ["connecting", "connecting", "connected"], await app.states()
        assert (bench.relay or bench.front).sockets == 1
        # Nobody waits for a poll to time out.
        await app.echo(2_000_000, seconds=10)
        if "late" in how:
            await soon(lambda: bench.front.late, 10)
            await app.echo(2_000_000)
            # One that arrives when its session goes another way is not let in.
            assert how == "late answer" or " 404 " in bench.front.late, bench.front.late
            assert await app.states() == ["connecting", "connecting", "connected"], await app.states()


async def socket_dies(bench, kind):
    bench.faults.socket_dies_after = 1_000_000
    async with bench.visit(kind) as app:
        await app.welcomed()
        with contextlib.suppress(RuntimeError):
            await app.echo(4_000_000)
        await app.failed(5)
        await bench.has_heard_of_the_end()


async def deaf_socket(bench, kind):
    """What a socket does not take waits in the page, and nothing is lost or reordered."""
    bench.relay.faults.deaf = 3
    script = "const Real = WebSocket; let most = 0; window.unsent = () => most;"
    script += "const send = Real.prototype.send; Real.prototype.send = function (data) { send.call(this, data); most = Math.max(most, this.bufferedAmount); };"
    async with bench.visit(kind, script=script) as app:
        await app.welcomed()
        await app.echo(8_000_000, streams=3)
        most = await app.tab.run("return unsent()")
        assert 500_000 < most <= (1 << 20) + (64 << 10) + 8, most


async def slow_timers(bench, kind):
    """A page that nobody sees has timers of a second: what comes has to be clock enough."""
    bench.relay.faults.deaf = 1
    script = "const real = setTimeout; window.setTimeout = (what, time) => real(what, Math.ceil((time || 1) / 1000) * 1000);"
    async with bench.visit(kind, script=script) as app:
        await app.welcomed()
        await app.echo(2_000_000, streams=2)
        # The app says nothing more after this: only the relay's grants come.
        bench.relay.faults.sinks = True
        began = time.monotonic()
        await app.tab.run(
            "const all = []; for (let i = 0; i < 4; i++) all.push(await app.open(await makeApp.codec({})));"
            "for (const one of all) await one.write(new Uint8Array(4 << 20));"
            "await app.until('grants', () => all.every(one => one.mayStillSend === 4 << 20), 30)"
        )
        assert time.monotonic() - began < 8, time.monotonic() - began


async def full(bench, kind):
    bench.faults.full = 2
    async with bench.visit(kind) as app:
        await app.welcomed()
        # The product's page tries a socket too, which its front refuses.
        tries = 4 if bench.product else 3
        assert await app.states() == ["connecting"] * tries + ["connected"], await app.states()
        bench.faults.full = 2
        await app.echo(1_000_000)
        assert (await app.states())[-1] == "connected" and "reconnecting" not in await app.states()


async def bad_network(bench, kind, fault, count):
    async with bench.visit(kind) as app:
        await app.welcomed()
        setattr(bench.faults, fault, count)
        await app.echo(4_000_000, streams=2)
        states = await app.states()
        assert getattr(bench.faults, fault) == 0 and "reconnecting" in states, states
        await app.until("app.states[app.states.length - 1] === 'connected'", 20)


async def bad_network_at_first(bench, kind, fault):
    setattr(bench.faults, fault, 3)
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(100_000)
        assert not bench.relay or bench.relay.opened == 1


async def no_network(bench, kind):
    """Nine tries from 250 ms to 5 s, and it is over."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        bench.faults.lost_requests = 1000
        began = time.monotonic()
        with contextlib.suppress(RuntimeError):
            await app.echo(100_000)
        await app.failed(40)
        assert 20 < time.monotonic() - began < 45
        states = await app.states()
        assert states.count("reconnecting") == 1, states


async def lost_socket(bench, kind, fault, value):
    """A socket whose other end is gone without a word; one where only nothing is said stays."""
    async with bench.visit(kind) as app:
        if fault == "deaf":
            setattr(bench.faults, fault, value)
        await app.welcomed()
        if fault == "mute":
            await app.echo(100_000)
            await asyncio.sleep(50)
            await app.echo(100_000)
            setattr(bench.faults, fault, value)
        with contextlib.suppress(RuntimeError):
            await app.echo(4_000_000 if fault == "deaf" else 8, seconds=55)
        await app.failed(5)


async def slow_polls(bench, kind):
    bench.relay.faults.down_delay = 0.3
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(1_000_000)


async def empty_polls(bench, kind):
    bench.relay.faults.idle = 0.2
    async with bench.visit(kind) as app:
        await app.welcomed()
        await soon(lambda: bench.relay.asked.count("POST down") > 5)
        await app.echo(1_000_000)


async def expires(bench, kind):
    bench.relay.faults.expires_after = 10
    async with bench.visit(kind) as app:
        await app.welcomed()
        with contextlib.suppress(RuntimeError):
            await app.echo(4_000_000)
        await app.failed(10)


async def refused(bench, kind):
    bench.relay.faults.refuse_session = True
    async with bench.visit(kind) as app:
        with contextlib.suppress(RuntimeError):
            await app.welcomed()
        assert await app.states() == ["connecting", "failed"], await app.states()


async def long_frames(bench, kind):
    bench.relay.faults.merge = 1 << 20
    bench.relay.faults.deaf = 1
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(12_000_000, streams=2)
        assert await app.tab.run("return app.longest") <= (1 << 20) + 8


async def chopped(bench, kind):
    bench.relay.faults.chop = True
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(3_000_000)


async def relay_closes(bench, kind):
    bench.relay.faults.close_after = 300_000
    async with bench.visit(kind) as app:
        await app.welcomed()
        try:
            await app.echo(1_000_000)
        except RuntimeError as error:
            assert "closed the stream" in str(error), error
        else:
            raise AssertionError("not closed")
        await app.echo(200_000, streams=3)


async def res_pq(bench, kind):
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.tab.run(
            f"const all = []; for (let i = 0; i < 8; i++) all.push(app.resPq({bench.codec}));"
            "for (const one of await Promise.all(all)) one.close()"
        )


async def telegram_closes(bench, kind):
    """Telegram ends streams, and others go on."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.tab.run(
            f"const other = app.echo({bench.codec}, 4000000, 60000, 60);"
            f"for (let i = 0; i < 10; i++) await app.closedByDc({bench.codec}); (await other).close()"
        )


async def late_answers(bench, kind):
    """What Telegram says of itself comes at once, however long nobody has said anything."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        for millis in (500, 2000):
            await app.tab.run(f"await app.later({bench.codec}, {millis})")


async def host_goes(bench, kind):
    """A reload without its host ends a session, and with it back there are others."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(100_000)
        await bench.product.reload(without=bench.case.host)
        try:
            await app.failed(10)
            await bench.forgotten()
        finally:
            await bench.product.reload()
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(100_000)


async def stays_long(bench, kind, seconds):
    """An idle session outlives all time limits that are for others."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(100_000)
        await asyncio.sleep(seconds)
        await app.echo(100_000)
        assert "reconnecting" not in await app.states(), await app.states()


async def too_late(bench):
    """A page whose token has expired says that it has failed."""
    async with bench.visit("browser") as app:
        await app.framed()
        await asyncio.sleep(EXPIRY + 2)
        await app.tab.run("app.begin()")
        await app.failed(5)


# ---- what it takes ----


async def time_to_answer(bench, kind):
    took = []
    for _ in range(9):
        script = "app.until('connected', () => app.states.includes('connected'), 20)"
        script += f".then(async () => app.resPq({bench.codec})).then(() => {{ window.took = performance.now(); }});"
        async with bench.visit(kind, script=script) as app:
            await soon_true(app.tab, "window.took > 0")
            took.append(await app.tab.run("return took"))
    took.sort()
    print(f"      page to resPQ: {took[len(took) // 2]:.0f} ms in the middle, {took[0]:.0f} to {took[-1]:.0f}")


async def rate(bench, kind, way, streams):
    total = 100_000_000 // streams
    async with bench.visit(kind) as app:
        await app.welcomed()
        began = time.monotonic()
        await app.tab.run(
            f"const all = []; for (let i = 0; i < {streams}; i++) all.push(app.{way}({bench.codec}, {total})); await Promise.all(all)"
        )
        took = time.monotonic() - began
        print(f"      {way} through {streams} streams: {total * streams / took / 1e6:.0f} MB/s")


async def old_script(_bench):
    """ES2017: what a WebView of 2018 can read."""
    script = re.sub(r"//.*|'[^'\n]*'", "", PAGE.read_text())
    for new in (r"\?\.", r"\?\?", r"catch\s*\{", r"\.\.\.", r"for await", r"\d_\d", r"\bimport\b", r"this\.#", r"\.finally\(", r"\d+n\b"):
        assert not re.search(new, script), f"{new} is too new"


# ---- the lists ----

ECHOES = ((1, 2_000_000), (20, 300_000), (128, 40_000), (1, 30_000_000))


def each(kinds, *rows, door="", **settings):
    """Rows of a name, the steps and what they take besides the kind of app."""
    for carriers in CARRIERS:
        for kind in kinds:
            for name, steps, *arguments in rows:
                name = f"{door}{kind}, {carriers}: {name}"
                yield Case(name, steps, (kind, *arguments), carriers=carriers, is_quiet=True, **settings)


def echo_rows(sizes=ECHOES):
    return [(f"{streams} × {total // 1000} kB", echoes, streams, total) for streams, total in sizes]


COMMON = (
    *echo_rows(),
    ("small packets", small_packets),
    ("streams that are closed", closes_streams),
    ("slow reader", slow_reader),
    ("the app closes", app_closes),
    ("the page goes", page_hides),
)


def cases_of_product():
    ours = {"door": "tls, ", "host": TLS}
    yield from each(KINDS, *COMMON, ("resPQ", res_pq), ("Telegram closes", telegram_closes), ("late answers", late_answers), **ours)
    yield from each(("desktop", "android", "browser"), *echo_rows(((2, 100_000),)), door="a base path, ", host=BELOW, path=PATH)
    some = (*echo_rows(ECHOES[1:]), ("slow reader", slow_reader), ("the app closes", app_closes), ("the page goes", page_hides))
    yield from each(("desktop", "android-base64", "browser"), *some, ("resPQ", res_pq), door="nginx, ", host=NGINX)
    for carriers in CARRIERS:
        yield Case(f"tls, {carriers}: its host goes", host_goes, ("desktop",), TLS, carriers)
        yield Case(f"nginx, {carriers}: idle for 130 s", stays_long, ("desktop", 130), NGINX, carriers, is_quiet=True, deadline=200)
    yield Case("tls: a frame of another origin", another_origin, host=TLS)
    yield Case("tls: an old page", too_late, host=TLS, deadline=200)
    for kind in ("desktop", "android", "browser"):
        for how in ("refuse", "hang", "late", "late answer"):
            yield Case(f"{kind}: no socket ({how})", no_socket, (kind, how), FRONT)
        yield Case(f"{kind}, websocket: dies", socket_dies, (kind,), FRONT)
        yield Case(f"{kind}, https: full", full, (kind,), FRONT, "https")
        for fault, count in (("lost_ups", 3), ("cut_ups", 3), ("cut_downs", 3), ("lost_requests", 4), ("gateway", 3)):
            yield Case(f"{kind}, https: {fault}", bad_network, (kind, fault, count), FRONT, "https")
        for fault in ("lost_requests", "gateway"):
            yield Case(f"{kind}, websocket: {fault} at first", bad_network_at_first, (kind, fault), FRONT)
    yield Case("desktop, https: no network any more", no_network, ("desktop",), FRONT, "https")
    yield Case("desktop, websocket: mute for ever", lost_socket, ("desktop", "mute", True), FRONT, "websocket", deadline=200)


def cases_of_relay():
    yield from each(KINDS, *COMMON)
    yield from each(("desktop", "browser"), *echo_rows(((2, 100_000),)), door="a base path, ", path=PATH)
    for kind in KINDS:
        for how in ("refuse", "hang"):
            yield Case(f"{kind}: no socket ({how})", no_socket, (kind, how))
        for carrier in CARRIERS:
            yield Case(f"{kind}, {carrier}: DATA of 1 MiB", long_frames, (kind,), carriers=carrier, is_quiet=True)
            yield Case(f"{kind}, {carrier}: many frames", many_frames, (kind,), carriers=carrier, is_quiet=True)
            yield Case(f"{kind}, {carrier}: the relay closes a stream", relay_closes, (kind,), carriers=carrier, is_quiet=True)
        yield Case(f"{kind}, websocket: dies", socket_dies, (kind,))
    for kind in ("desktop", "android", "browser"):
        if kind != "browser":
            # What its socket holds is looked at in the page.
            yield Case(f"{kind}, websocket: does not read for 3 s", deaf_socket, (kind,), is_quiet=True)
        yield Case(f"{kind}, websocket: slow timers", slow_timers, (kind,), is_quiet=True)
        yield Case(f"{kind}, https: slow timers", slow_timers, (kind,), carriers="https", is_quiet=True)
        yield Case(f"{kind}, websocket: fragments", chopped, (kind,), is_quiet=True)
        yield Case(f"{kind}, https: full", full, (kind,), carriers="https")
        for fault, count in (("lost_ups", 3), ("cut_downs", 3), ("lost_requests", 4), ("gateway", 3)):
            yield Case(f"{kind}, https: {fault}", bad_network, (kind, fault, count), carriers="https")
        yield Case(f"{kind}, https: slow polls", slow_polls, (kind,), carriers="https", is_quiet=True)
        yield Case(f"{kind}, https: empty polls", empty_polls, (kind,), carriers="https", is_quiet=True)
        yield Case(f"{kind}, https: expires", expires, (kind,), carriers="https")
        for fault in ("lost_requests", "gateway"):
            yield Case(f"{kind}, websocket: {fault} at first", bad_network_at_first, (kind, fault))
        yield Case(f"{kind}: no session", refused, (kind,))
    yield Case("desktop, https: no network any more", no_network, ("desktop",), carriers="https")
    for fault, value in (("deaf", 1000), ("mute", True)):
        yield Case(f"desktop, websocket: {fault} for ever", lost_socket, ("desktop", fault, value), carriers="websocket")
    yield Case("nobody is there", nobody)
    yield Case("a frame of another origin", another_origin)
    yield Case("the script is an old one", old_script)


# Less than a minute of both.
QUICK = re.compile(
    r"tls, (desktop|android|browser), \w+: (20 ×|resPQ|late|the page goes)|nginx, desktop, \w+: 20 ×|desktop, https: cut_ups|base path, desktop"
    r"|desktop: no socket \(hang\)|nobody is there|the script is an old one|^(desktop-groups|android-base64), \w+: 20 ×"
)


def cases_of_measure():
    for host, door in ((TLS, "tls"), (NGINX, "nginx")):
        yield Case(f"{door}: page to resPQ", time_to_answer, ("desktop",), host)
        for carriers in CARRIERS:
            for way in ("download", "upload"):
                for streams in (1, 20):
                    yield Case(f"{door}, {carriers}: {way}, {streams}", rate, ("desktop", way, streams), host, carriers)


async def run(cases, directory, with_product):
    """Passed and failed."""
    passed = failed = 0
    context = certificate(directory, [HOST, *HOSTS])
    log = pathlib.Path(directory) / "network.json"
    async with contextlib.AsyncExitStack() as stack:
        relay = product = front = None
        if with_product:
            product = await stack.enter_async_context(Product.launch(directory))
            front = Front(product)
        else:
            relay = Relay(HOST, KEY, PAGE.read_text())
        server = await asyncio.start_server((relay or front).serve, "127.0.0.1", 0, ssl=context, limit=1 << 20)
        port = server.sockets[0].getsockname()[1]
        parent = await asyncio.start_server(pages(), "127.0.0.1", 0)
        rules = [*(product.rules if product else ()), f"MAP {FRONT if product else HOST}:443 127.0.0.1:{port}"]
        program = os.environ["CHROMIUM_BIN"]
        browser = await stack.enter_async_context(
            Browser.launch(program, ", ".join([*rules, "MAP localhost 127.0.0.1"]), log)
        )
        bench = Bench(browser, relay, product, front, parent.sockets[0].getsockname()[1])
        for case in cases:
            if case.host == NGINX and "nginx" not in product.ports:
                continue
            start = time.monotonic()
            try:
                await bench.begin(case)
                await asyncio.wait_for(case.steps(bench, *case.arguments), case.deadline)
                await bench.is_content()
                passed += 1
                print(f"ok    {case.name} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                seen = " ".join(getattr(error, "__notes__", ()))
                print(f"FAIL  {case.name}: {error!r} {seen} {relay.broken if relay else await product.story()}"[:1500], flush=True)
    if any(case.host == TLS and case.is_quiet for case in cases) and not failed:
        try:
            netlog.check(log, TLS)
            passed += 1
            print("ok    tls: the browser's handshakes")
        except Exception as error:
            failed += 1
            print(f"FAIL  tls: the browser's handshakes: {error!r}")
    return passed, failed


async def main(arguments):
    words = [word for word in arguments if not word.startswith("--")]
    options = set(arguments) - set(words)
    lists = [(cases_of_relay, False), (cases_of_product, True)]
    if "--measure" in options:
        lists = [(cases_of_measure, True)]
    elif "--quick" not in options:
        lists = [lists["--product" in options]]
    is_wanted = QUICK.search if "--quick" in options else bool
    program = os.environ["CHROMIUM_BIN"]
    print(subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip(), flush=True)
    passed = failed = 0
    for cases, with_product in lists:
        chosen = [case for case in cases() if is_wanted(case.name) and all(word in case.name for word in words)]
        if chosen:
            with tempfile.TemporaryDirectory() as directory:
                results = await run(chosen, directory, with_product)
            passed, failed = passed + results[0], failed + results[1]
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(asyncio.run(main(sys.argv[1:])))
