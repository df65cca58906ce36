"""Chromium without a window, over its DevTools protocol."""

import asyncio
import contextlib
import json
import pathlib
import signal
import tempfile

from websockets.asyncio.client import connect

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-default-apps --disable-extensions --disable-dev-shm-usage "
    # An iframe is then a part of its page's target.
    "--disable-site-isolation-trials --disable-features=IsolateOrigins,site-per-process "
    "--ignore-certificate-errors --remote-debugging-port=0 --remote-allow-origins=*"
).split()


class Browser:
    def __init__(self, process, socket):
        self._process, self._socket = process, socket
        self._last = 0
        self._answers = {}
        self.tabs = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, program, rules, log):
        """`rules` say where host names lead; no other name leads anywhere. What the browser
        does in the network is in the file `log` when it has ended."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            process = await asyncio.create_subprocess_exec(
                program,
                *FLAGS,
                f"--user-data-dir={directory}",
                f"--log-net-log={log}",
                f"--host-resolver-rules={rules}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "about:blank",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                port, path = await cls._door(process, pathlib.Path(directory) / "DevToolsActivePort")
                async with connect(
                    f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None, ping_interval=None, proxy=None
                ) as socket:
                    self = cls(process, socket)
                    reading = asyncio.create_task(self._read())
                    yield self
                    with contextlib.suppress(Exception):
                        await asyncio.wait_for(self.call("Browser.close"), 5)
                    reading.cancel()
            finally:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 5)
                if process.returncode is None:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()

    @staticmethod
    async def _door(process, file):
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    if len(lines := file.read_text().split("\n")) == 2:
                        return lines
                assert process.returncode is None, "the browser has ended"
                await asyncio.sleep(0.05)

    async def _read(self):
        async for text in self._socket:
            message = json.loads(text)
            if waiting := self._answers.pop(message.get("id"), None):
                if not waiting.done():
                    waiting.set_result(message)
            elif tab := self.tabs.get(message.get("sessionId")):
                tab.heard(message["method"], message["params"])

    async def call(self, method, session=None, **params):
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        message = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        await self._socket.send(json.dumps(message))
        answer = await answer
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    @contextlib.asynccontextmanager
    async def tab(self):
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self.tabs[session] = Tab(self, session)
        try:
            for domain in ("Page", "Runtime", "Log"):
                await tab.call(f"{domain}.enable")
            yield tab
        finally:
            del self.tabs[session]
            with contextlib.suppress(RuntimeError):
                await self.call("Target.closeTarget", targetId=target)


class Tab:
    def __init__(self, browser, session):
        self._browser, self._session = browser, session
        # Exceptions that nobody caught, what the page's policy forbade, all that the console
        # shows as an error; and what failed in the network, which is wrong where nothing is to.
        self.wrong, self.failed = [], []

    def heard(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.wrong.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.wrong.append(f"console: {params['args']}")
        elif method == "Log.entryAdded":
            entry = params["entry"]
            if entry["source"] == "network" or "WebSocket connection to" in entry["text"]:
                self.failed.append(f"{entry['text']} {entry.get('url', '')}")
            # Said of the sandbox that the page's policy has to be.
            elif entry["level"] in ("warning", "error") and "can escape its sandboxing" not in entry["text"]:
                self.wrong.append(entry["text"])

    async def call(self, method, **params):
        return await self._browser.call(method, self._session, **params)

    async def before_each_document(self, script):
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def go(self, url):
        return await self.call("Page.navigate", url=url)

    async def run(self, script):
        """The value of an `async` function's body."""
        result = await self.call(
            "Runtime.evaluate", expression=f"(async () => {{ {script} }})()", awaitPromise=True, returnByValue=True
        )
        if details := result.get("exceptionDetails"):
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]).split("\n")[0])
        return result["result"].get("value")

    async def addresses(self):
        """Of the page and its frames."""
        tree = (await self.call("Page.getFrameTree"))["frameTree"]
        return [tree["frame"]["url"], *(child["frame"]["url"] for child in tree.get("childFrames", []))]
