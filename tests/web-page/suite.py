"""The bridge page in Chromium, between a strict app (app.js) and a strict relay
(relay.py), or with `--product` the built binary and the fake Telegram. run.sh starts
this where there is no network but loopback."""

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

from browser import Browser
from product import Product
from relay import Relay, base64url, capability
from front import before, certificate, pages

HOST = "proxy.example.com"
KEY = bytes(range(16))
HERE = pathlib.Path(__file__).parent
PAGE = HERE / "../../src/web/page/bridge.html"
DEADLINE = 120  # seconds for one case
NATIVE = ("desktop", "desktop-groups", "android", "android-base64")
KINDS = (*NATIVE, "browser")
CARRIERS = ("websocket", "https")


@dataclasses.dataclass
class Bench:
    """What all cases have; `relay` is None where the product is tried."""

    browser: Browser
    relay: Relay
    product: Product
    around: int  # the port of the page around an iframe

    @contextlib.asynccontextmanager
    async def visit(self, kind, path="", script="", bridge=None):
        """An app of that kind at a bridge page, which it has just opened."""
        base = f"/{path}/" if path else "/"
        nonce = base64url(os.urandom(32))
        bridge = bridge or capability(self.product.key if self.product else KEY, HOST, path)
        url = f"https://{HOST}{base}?bridge={bridge}"
        grants = "each" if kind.startswith("android") else "many"
        # In the browser nobody takes anything away; what the page uses is the same.
        restrict = f"makeApp.restrict({'true' if kind == 'android' else 'false'});"
        native = f"window.app = makeApp.native('{kind}', '{nonce}', '{base}', '{grants}');" if kind in NATIVE else ""
        own = f"if (location.host === '{HOST}') {{ {native} {restrict} {script} }}"
        async with self.browser.tab() as tab:
            await tab.before_each_document(f"{(HERE / 'app.js').read_text()}\n{own}")
            if kind == "browser":
                await tab.go(f"http://127.0.0.1:{self.around}/?{url}")
            else:
                await tab.go(f"{url}#android={nonce}")
            app = App(self, tab, kind, base)
            try:
                yield app
            except BaseException:
                # What the page says at its end is not for the next case.
                await tab.go("about:blank")
                await asyncio.sleep(1)
                raise
            assert not tab.wrong, tab.wrong
            if not app.is_gone:
                fatal = await tab.run("return app.fatal")
                assert not fatal, fatal
            # However it ends, the relay hears of it, once.
            await tab.go("about:blank")
            if self.relay:
                made = sum(session is not None for session in self.relay.bootstraps.values())
                try:
                    await soon(lambda: self.relay.asked.count("DELETE session") == made)
                except TimeoutError:
                    raise AssertionError(f"{made} sessions, then {self.relay.asked[-5:]}, {self.relay.ends}") from None


class App:
    def __init__(self, bench, tab, kind, base):
        self.bench, self.tab, self.kind, self.base = bench, tab, kind, base
        self.is_gone = False

    async def welcomed(self, seconds=10):
        if self.kind == "browser":
            await soon_true(self.tab, "window.framed !== undefined")
            await self.tab.run("await window.framed; window.app = makeApp.browser(iframe, origin, 'many'); app.begin()")
        await self.until("app.states.includes('connected')", seconds)
        frames = await self.tab.addresses()
        assert frames[-1] == f"https://{HOST}{self.base}", frames

    async def until(self, condition, seconds=20):
        await self.tab.run(f"await app.until('{condition.replace(chr(39), '')}', () => {condition}, {seconds})")

    async def echo(self, total, packet=60000, streams=1, seconds=60):
        codec = f"{{ secret: '{self.bench.product.key.hex()}' }}" if self.bench.product else "{}"
        each = f"app.echo(await makeApp.codec({codec}), {total}, {packet}, {seconds})"
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


async def echoes(bench, kind, streams, total, path=""):
    async with bench.visit(kind, path) as app:
        await app.welcomed()
        await app.echo(total, streams=streams)
        if kind == "browser":
            await app.until(f"app.traffic.up >= {total * streams} && app.traffic.down >= {total * streams}", 5)
        longest = await app.tab.run("return app.longest")
        assert longest <= 64 << 10 or longest == (64 << 10) + 8, longest
        # The product offers both carriers, and must not have changed to the other.
        tries = 2 if bench.product and bench.product.carriers == "https" else 1
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
        codec = f"{{ secret: '{bench.product.key.hex()}' }}" if bench.product else "{}"
        await app.tab.run(
            f"const codec = () => makeApp.codec({codec}); const other = app.echo(await codec(), 4000000, 60000, 60);"
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
        codec = f"{{ secret: '{bench.product.key.hex()}' }}" if bench.product else "{}"
        await app.tab.run(
            f"const one = window.held = await app.open(await makeApp.codec({codec})); one.holds = true;"
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
    """The session, at the relay's, by DELETE."""
    if bench.relay:
        await soon(lambda: "DELETE session" in bench.relay.asked and not bench.relay.sessions)


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
        url = f"https://{HOST}/?bridge={bench.relay.capability}"
        await tab.go(f"http://localhost:{bench.around}/?{url}")
        await soon(lambda: bench.relay.pages)
        await soon(lambda: any("frame-ancestors" in text or "frame" in text for text in tab.wrong))
        assert not bench.relay.asked


# ---- what goes wrong ----


async def no_socket(bench, kind, how):
    bench.relay.faults.socket = how
    async with bench.visit(kind) as app:
        await app.welcomed()
        assert await app.states() == ["connecting", "connecting", "connected"], await app.states()
        assert bench.relay.sockets == 1
        await app.echo(2_000_000)


async def socket_dies(bench, kind):
    bench.relay.faults.socket_dies_after = 1_000_000
    async with bench.visit(kind) as app:
        await app.welcomed()
        with contextlib.suppress(RuntimeError):
            await app.echo(4_000_000)
        await app.failed(5)
        await soon(lambda: "DELETE session" in bench.relay.asked)


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
    bench.relay.faults.full = 2
    async with bench.visit(kind) as app:
        await app.welcomed()
        assert await app.states() == ["connecting"] * 3 + ["connected"], await app.states()
        bench.relay.faults.full = 2
        await app.echo(1_000_000)
        assert (await app.states())[-1] == "connected" and "reconnecting" not in await app.states()


async def bad_network(bench, kind, fault, count):
    async with bench.visit(kind) as app:
        await app.welcomed()
        setattr(bench.relay.faults, fault, count)
        await app.echo(4_000_000, streams=2)
        states = await app.states()
        assert getattr(bench.relay.faults, fault) == 0 and "reconnecting" in states, states
        await app.until("app.states[app.states.length - 1] === 'connected'", 20)


async def bad_network_at_first(bench, kind, fault):
    setattr(bench.relay.faults, fault, 3)
    async with bench.visit(kind) as app:
        await app.welcomed()
        await app.echo(100_000)
        assert bench.relay.opened == 1


async def no_network(bench, kind):
    """Nine tries from 250 ms to 5 s, and it is over."""
    async with bench.visit(kind) as app:
        await app.welcomed()
        bench.relay.faults.lost_requests = 1000
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
            setattr(bench.relay.faults, fault, value)
        await app.welcomed()
        if fault == "mute":
            await app.echo(100_000)
            await asyncio.sleep(50)
            await app.echo(100_000)
            setattr(bench.relay.faults, fault, value)
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


async def old_script(_bench):
    """ES2017: what a WebView of 2018 can read."""
    script = re.sub(r"//.*|'[^'\n]*'", "", PAGE.read_text())
    for new in (r"\?\.", r"\?\?", r"catch\s*\{", r"\.\.\.", r"for await", r"\d_\d", r"\bimport\b", r"this\.#", r"\.finally\(", r"\d+n\b"):
        assert not re.search(new, script), f"{new} is too new"


def cases(product):
    for carrier in CARRIERS:
        for kind in KINDS:
            for streams, total in ((1, 2_000_000), (20, 300_000), (128, 40_000), (1, 30_000_000)):
                yield f"{kind}, {carrier}: {streams} × {total // 1000} kB", carrier, echoes, (kind, streams, total)
            yield f"{kind}, {carrier}: small packets", carrier, small_packets, (kind,)
            yield f"{kind}, {carrier}: streams that are closed", carrier, closes_streams, (kind,)
            yield f"{kind}, {carrier}: slow reader", carrier, slow_reader, (kind,)
            yield f"{kind}, {carrier}: the app closes", carrier, app_closes, (kind,)
            yield f"{kind}, {carrier}: the page goes", carrier, page_hides, (kind,)
    if product:
        return
    for carrier in CARRIERS:
        for kind in ("desktop", "browser"):
            yield f"{kind}, {carrier}: a base path", carrier, echoes, (kind, 2, 100_000, "dobry-cola-super-app/v2")
    both = "websocket https"
    for kind in KINDS:
        for how in ("refuse", "hang"):
            yield f"{kind}: no socket ({how})", both, no_socket, (kind, how)
        for carrier in CARRIERS:
            yield f"{kind}, {carrier}: DATA of 1 MiB", carrier, long_frames, (kind,)
            yield f"{kind}, {carrier}: many frames", carrier, many_frames, (kind,)
            yield f"{kind}, {carrier}: the relay closes a stream", carrier, relay_closes, (kind,)
        yield f"{kind}, websocket: dies", both, socket_dies, (kind,)
    for kind in ("desktop", "android", "browser"):
        if kind != "browser":
            # What its socket holds is looked at in the page.
            yield f"{kind}, websocket: does not read for 3 s", both, deaf_socket, (kind,)
        yield f"{kind}, websocket: slow timers", both, slow_timers, (kind,)
        yield f"{kind}, https: slow timers", "https", slow_timers, (kind,)
        yield f"{kind}, websocket: fragments", both, chopped, (kind,)
        yield f"{kind}, https: full", "https", full, (kind,)
        for fault, count in (("lost_ups", 3), ("cut_downs", 3), ("lost_requests", 4), ("gateway", 3)):
            yield f"{kind}, https: {fault}", "https", bad_network, (kind, fault, count)
        yield f"{kind}, https: slow polls", "https", slow_polls, (kind,)
        yield f"{kind}, https: empty polls", "https", empty_polls, (kind,)
        yield f"{kind}, https: expires", "https", expires, (kind,)
        for fault in ("lost_requests", "gateway"):
            yield f"{kind}, websocket: {fault} at first", both, bad_network_at_first, (kind, fault)
        yield f"{kind}: no session", both, refused, (kind,)
    yield "desktop, https: no network any more", "https", no_network, ("desktop",)
    for fault, value in (("deaf", 1000), ("mute", True)):
        yield f"desktop, websocket: {fault} for ever", "websocket", lost_socket, ("desktop", fault, value)
    yield "nobody is there", both, nobody, ()
    yield "a frame of another origin", both, another_origin, ()
    yield "the script is an old one", both, old_script, ()


async def main(words):
    product = "--product" in words
    words = [word for word in words if not word.startswith("--")]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        context = certificate(directory, HOST)
        async with contextlib.AsyncExitStack() as stack:
            relay = target = None
            if product:
                target = await stack.enter_async_context(Product.launch(directory, HOST))
                serve = before(target)
            else:
                relay = Relay(HOST, KEY, PAGE.read_text())
                serve = relay.serve
            server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, limit=1 << 20)
            port = server.sockets[0].getsockname()[1]
            parent = await asyncio.start_server(pages(), "127.0.0.1", 0)
            rules = f"MAP {HOST}:443 127.0.0.1:{port}, MAP localhost 127.0.0.1"
            program = os.environ["CHROMIUM_BIN"]
            print(subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip(), flush=True)
            browser = await stack.enter_async_context(Browser.launch(program, rules))
            bench = Bench(browser, relay, target, parent.sockets[0].getsockname()[1])
            for name, carriers, steps, arguments in cases(product):
                if words and not all(word in name for word in words):
                    continue
                start = time.monotonic()
                if relay:
                    path = arguments[3] if steps is echoes and len(arguments) > 3 else ""
                    relay.begin(path, carriers)
                else:
                    target.carriers = carriers
                try:
                    await asyncio.wait_for(steps(bench, *arguments), DEADLINE)
                    if relay:
                        assert not relay.broken, relay.broken
                    else:
                        await target.is_content()
                    passed += 1
                    print(f"ok    {name} ({time.monotonic() - start:.1f} s)", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"FAIL  {name}: {error!r} {relay.broken if relay else ''}"[:600], flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(asyncio.run(main(sys.argv[1:])))
