"""TDLib, which Telegram's own apps are made of, asked for pings."""

import asyncio
import itertools
import json
import threading

import tdjson


class Refused(Exception):
    """TDLib's error answer."""


class TdLib:
    """One TDLib instance; its answers come through a thread."""

    def __init__(self, directory):
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._waiting = {}
        self._closed = asyncio.Event()
        self._directory = directory
        tdjson.td_execute(b'{"@type": "setLogVerbosityLevel", "new_verbosity_level": 1}')
        self._id = tdjson.td_create_client_id()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    async def start(self):
        await self._ask(
            {
                "@type": "setTdlibParameters",
                "database_directory": self._directory,
                "api_id": 1,
                "api_hash": "none",
                "device_model": "test",
                "system_language_code": "en",
                "application_version": "1",
            }
        )

    async def ping(self, server, port, secret):
        """Seconds until Telegram's answer through the proxy."""
        kind = {"@type": "proxyTypeMtproto", "secret": secret}
        proxy = {"@type": "proxy", "server": server, "port": port, "type": kind}
        answer = await self._ask({"@type": "pingProxy", "proxy": proxy})
        return answer["seconds"]

    async def close(self):
        """Waits for TDLib's threads, which would crash a process that ends."""
        self._send({"@type": "close"})
        await self._closed.wait()
        self._thread.join()

    async def _ask(self, request):
        number = next(self._numbers)
        answer = self._waiting[number] = self._loop.create_future()
        self._send({**request, "@extra": number})
        try:
            answer = await answer
        finally:
            del self._waiting[number]
        if answer["@type"] == "error":
            raise Refused(answer["message"])
        return answer

    def _send(self, request):
        tdjson.td_send(self._id, json.dumps(request).encode())

    def _receive(self):
        while True:
            event = json.loads(tdjson.td_receive(1.0) or b"{}")
            state = event.get("authorization_state", {}).get("@type")
            if state == "authorizationStateClosed":
                self._loop.call_soon_threadsafe(self._closed.set)
                return
            if "@extra" in event:
                self._loop.call_soon_threadsafe(self._deliver, event)

    def _deliver(self, answer):
        waiting = self._waiting.get(answer["@extra"])
        if waiting and not waiting.done():
            waiting.set_result(answer)
