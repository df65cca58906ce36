"""The status page in Chromium, at the built binary with the fake Telegram. run.sh starts this
where there is no network but loopback."""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import pathlib
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "../web-page"))

from browser import Browser  # noqa: E402
from product import Child, free_port  # noqa: E402

SECRET = "00112233445566778899aabbccddeeff"
# A name is text, whatever it looks like.
EVIL = "<i>evil</i>"
SIZES = {"phone": (360, 740), "desktop": (1280, 900)}
LINK = f"tg://proxy?server=192.0.2.1&port=443&secret=dd{SECRET}"
API = pathlib.Path(__file__).parent / "../../doc/api.md"
# What `GET /v1/users/NAME` answers (doc/api.md).
USER = {
    "name": "alice", "is_user": True, "secret": "dd" + SECRET, "old_secrets_until": [],
    "links": [{"tg": LINK, "t_me": LINK.replace("tg://", "https://t.me/")}], "web_links": [], "warnings": ["a <b>warning</b>"],
}


class Proxy:
    def __init__(self, child, port, directory, telegram, flags):
        self.child, self.port, self.directory, self.telegram, self.flags = child, port, directory, telegram, flags

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, directory):
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(60) as starting:
            telegram = await Child.start(os.environ["FAKE_TELEGRAM_BIN"])
            stack.push_async_callback(telegram.stop)
            flags = (await telegram.until("^flags (.*)"))[1].split()
            port = free_port()
            own = [
                "--listen", f"127.0.0.1:{free_port()}", "--secret", f"alice={SECRET},max-ips=3,quota=1G,expires=2999-01-31",
                "--secret", f"{EVIL}=ee{SECRET[::-1]}7777772e6578616d706c652e636f6d", "--allow", "dd,tls",
                "--fronting", "off", "--route", "direct", "--self-test", "no", "--data-dir", directory, "--metrics", str(port),
            ]
            self = cls(None, port, directory, telegram, own + flags)
            await self.start()
            stack.push_async_callback(lambda: self.child.stop())
            starting.reschedule(None)
            yield self

    async def start(self):
        self.child = await Child.start(os.environ["SMOL_MTPROXY_BIN"], "run", *self.flags)
        await self.child.until("status page at")

    def token(self):
        return pathlib.Path(self.directory, "api-token").read_text().strip()

    def url(self, host="127.0.0.1"):
        return f"http://{host}:{self.port}/"


class Page:
    """One tab at the page, as a device of this kind shows it."""

    def __init__(self, tab, proxy):
        self.tab, self.proxy = tab, proxy

    async def shape(self, size, scheme):
        wide, high = SIZES[size]
        await self.tab.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=size == "phone")
        await self.tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def until(self, condition, limit=60):
        async with asyncio.timeout(limit):
            while not await self.tab.run(f"return !!({condition});"):
                await asyncio.sleep(0.1)

    async def text(self):
        return await self.tab.run("return document.body.innerText;")

    async def unlock(self, token):
        await self.tab.run(f"document.getElementById('token').value = {json.dumps(token)}; document.querySelector('form button').click();")

    async def picture(self, directory, name):
        # All of it, however long.
        size = (await self.tab.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        shot = await self.tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        if directory:
            pathlib.Path(directory, name + ".png").write_bytes(base64.b64decode(shot["data"]))


@contextlib.asynccontextmanager
async def opened(browser, proxy, size="desktop", scheme="light", host="127.0.0.1"):
    async with browser.tab() as tab:
        page = Page(tab, proxy)
        await page.shape(size, scheme)
        await tab.go(proxy.url(host))
        yield page


async def shows(browser, proxy, pictures, size, scheme):
    async with opened(browser, proxy, size, scheme) as page:
        tab = page.tab
        await page.until("document.querySelector('#numbers b') && !document.getElementById('unlock').hidden")
        before = await page.text()
        assert "alice" not in before and "clients of at most" in before, before
        await page.picture(pictures, f"{size}-{scheme}-figures")
        await page.unlock(proxy.token())
        await page.until("document.body.innerText.includes('alice')")
        text = await page.text()
        assert EVIL in text and "3 addresses" in text and "until 2999-01-31" in text, text
        # Nothing is wider than the screen, and nothing was taken for markup.
        wide = SIZES[size][0]
        assert await tab.run("return document.documentElement.scrollWidth;") <= wide
        assert not await tab.run("return document.querySelector('i');")
        is_dark = await tab.run("return getComputedStyle(document.body).backgroundColor;")
        assert (is_dark == "rgb(17, 20, 24)") == (scheme == "dark"), is_dark
        # The charts have had a sample, ten seconds after the start.
        await page.until("document.querySelector('#clients polyline')")
        assert await tab.run("return sessionStorage.getItem('api-token');") == proxy.token()
        assert proxy.token() not in await tab.run("return location.href;")
        await page.picture(pictures, f"{size}-{scheme}-all")
        await link_of(page, pictures, f"{size}-{scheme}-link")
        await tab.run("document.getElementById('lock').click();")
        await page.until("document.getElementById('unlock')?.hidden === false")
        await page.until("!document.body.innerText.includes('alice')")
        assert await tab.run("return sessionStorage.getItem('api-token');") is None
        assert not tab.wrong and not tab.failed, (tab.wrong, tab.failed)


async def link_of(page, pictures, name):
    """With the answer that the API documents, and a code that the proxy draws."""
    tab = page.tab
    answer = json.dumps(USER)
    await tab.run(f"""
        const real = window.fetch;
        window.fetch = (target, options) => String(target).startsWith('/v1/users/')
            ? Promise.resolve(new Response({json.dumps(answer)})) : real(target, options);
        [...document.querySelectorAll('#lists button')][0].click();
        window.restore = () => window.fetch = real;
    """)
    await page.until("document.querySelector('dialog[open] svg path')")
    text = await tab.run("return document.querySelector('dialog').innerText;")
    assert "https://t.me/proxy?server=192.0.2.1" in text and "a <b>warning</b>" in text, text
    assert (await tab.run("return document.querySelector('dialog path').getAttribute('d');")).startswith("M4 4h1v1h-1z")
    await page.picture(pictures, name)
    await tab.run("document.getElementById('close').click(); window.restore();")
    await page.until("!document.querySelector('dialog[open]')")


async def shows_what_is_documented(browser, proxy, pictures, size, scheme):
    """An hour of a busy proxy, with an answer of each kind as doc/api.md has it."""
    blocks = (block.split("\n", 1) for block in API.read_text().split("```json GET ")[1:])
    answers = {target: json.loads(rest.split("```")[0]) for target, rest in blocks}
    hour = range(300)
    answers["/v1/history"] = {
        "seconds_each": 10, "clients": [20 + place % 70 // 3 for place in hour],
        "bytes_up": [1000 * (place % 50) for place in hour], "bytes_down": [90000 * (30 + place % 90) for place in hour],
    }
    async with browser.tab() as tab:
        page = Page(tab, proxy)
        await page.shape(size, scheme)
        await tab.before_each_document(f"""
            const answers = {json.dumps(answers)};
            sessionStorage.setItem('api-token', 'x');
            window.fetch = async target => new Response(JSON.stringify(answers[target]), {{ status: answers[target] ? 200 : 404 }});
        """)
        await tab.go(proxy.url())
        await page.until("document.querySelector('#traffic .b') && document.querySelectorAll('#lists section').length === 6")
        text = await page.text()
        for wanted in ("340", "blocked", "192.0.2.1:5000", "41 ms", "10 middle, 2 direct", "cannot connect", "50 GiB"):
            assert wanted in text or wanted == (wanted, text)
        points = await tab.run("return document.querySelector('#clients .a').getAttribute('points').split(' ').length;")
        assert points == len(hour), points
        assert await tab.run("return document.documentElement.scrollWidth;") <= SIZES[size][0]
        await page.picture(pictures, f"{size}-{scheme}-documented")
        assert not tab.wrong, tab.wrong


async def is_told_of_a_wrong_token(browser, proxy, _):
    async with opened(browser, proxy) as page:
        await page.until("document.getElementById('unlock')?.hidden === false")
        await page.unlock("x" * 32)
        await page.until("document.getElementById('note').innerText.includes('not the token')")
        # It goes on without.
        await page.until("document.querySelector('#numbers b') && !document.getElementById('unlock').hidden")
        await page.unlock(proxy.token())
        await page.until("document.body.innerText.includes('alice')")
        assert not page.tab.wrong, page.tab.wrong


async def refuses_another_host(browser, proxy, _):
    async with opened(browser, proxy, host="attacker.example") as page:
        await page.until("document.body.innerText.includes(\"may be anybody's\")")
        status = await page.tab.run("return (await fetch('/v1/figures')).status;")
        assert status == 401, status
    # Nor does a page of another one get anything.
    async with opened(browser, proxy, host="localhost") as page:
        await page.until("document.querySelector('#numbers b')")
        got = await page.tab.run(f"try {{ await fetch('{proxy.url()}v1/figures'); return 1; }} catch {{ return 0; }}")
        assert got == 0


async def goes_on_after_the_proxy_was_away(browser, proxy, _):
    async with opened(browser, proxy) as page:
        await page.until("document.getElementById('unlock')?.hidden === false")
        await page.unlock(proxy.token())
        await page.until("document.body.innerText.includes('alice')")
        await proxy.child.stop(signal.SIGTERM)
        await page.until("document.getElementById('note').innerText.includes('does not answer')")
        await proxy.start()
        # The same token: nobody has to type again.
        await page.until("document.getElementById('note').hidden && document.body.innerText.includes('alice')")
        assert not page.tab.wrong, page.tab.wrong


def cases(is_quick):
    for size in SIZES:
        for scheme in ("light", "dark"):
            if not is_quick or (size, scheme) in (("phone", "dark"), ("desktop", "light")):
                yield f"{size} {scheme}", lambda *all, size=size, scheme=scheme: shows(*all, size, scheme)
        if not is_quick:
            scheme = "light" if size == "phone" else "dark"
            yield f"{size}, as documented", lambda *all, size=size, scheme=scheme: shows_what_is_documented(*all, size, scheme)
    yield "another host", refuses_another_host
    if not is_quick:
        yield "a wrong token", is_told_of_a_wrong_token
        yield "the proxy away", goes_on_after_the_proxy_was_away


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--pictures")
    given = arguments.parse_args()
    failed = passed = 0
    with tempfile.TemporaryDirectory() as directory:
        rules = "MAP attacker.example 127.0.0.1, MAP localhost 127.0.0.1"
        log = str(pathlib.Path(directory, "net.json"))
        data = str(pathlib.Path(directory, "data"))
        async with Proxy.launch(data) as proxy, Browser.launch(os.environ["CHROMIUM_BIN"], rules, log) as browser:
            for name, case in cases(given.quick):
                try:
                    async with asyncio.timeout(180):
                        await case(browser, proxy, given.pictures)
                    passed += 1
                    print(f"ok      {name}", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed))


asyncio.run(main())
