"""The servers around a bridge page: a TLS front for the product, and the page of
http://127.0.0.1 that has the bridge page in a frame."""

import asyncio
import contextlib
import ssl
import subprocess

from relay import Faults, Head

AROUND = b"""<!doctype html><meta charset="utf-8"><title>around</title><script>
'use strict';
const address = location.search.slice(1), origin = new URL(address).origin;
const iframe = document.createElement('iframe');
iframe.setAttribute('sandbox', 'allow-scripts allow-same-origin');
window.framed = new Promise(resolve => { iframe.onload = resolve; });
iframe.src = address;
document.documentElement.appendChild(iframe);
</script>
"""


def certificate(directory, hosts):
    """A context with a certificate of those names, which nobody has signed."""
    names = ",".join(f"DNS:{host}" for host in hosts)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", f"/CN={hosts[0]}", "-addext", f"subjectAltName={names}"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"]
        + ["-keyout", f"{directory}/key.pem", "-out", f"{directory}/own.pem"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/own.pem", f"{directory}/key.pem")
    context.set_alpn_protocols(["http/1.1"])
    return context


def pages():
    """Serves the page around the frame, whose address is the query."""

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(AROUND) + AROUND)
                await writer.drain()
        writer.close()

    return serve


class Front:
    """Takes TLS off what goes to the product, as a web server in front does; `faults` says
    what it does wrong when it is told to."""

    def __init__(self, product):
        self._product = product
        self.renew()

    def renew(self):
        self.faults = Faults()
        self.sockets = 0
        # What became of a socket that was asked for, or answered, too late.
        self.late = ""

    async def serve(self, reader, writer):
        inner = None
        try:
            inner = await asyncio.open_connection("127.0.0.1", self._product.ports["web"])
            while await self._answer(reader, writer, *inner):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of both is gone
        finally:
            for end in (writer, inner and inner[1]):
                if end:
                    end.transport.abort()

    async def _answer(self, reader, writer, from_product, to_product):
        """One request; whether another may follow."""
        raw = await reader.readuntil(b"\r\n\r\n")
        head = Head(raw[:-4])
        if "upgrade" in (head.one("connection") or "").lower():
            await self._socket(raw, reader, writer, from_product, to_product)
            return False
        body = await reader.readexactly(int(head.one("content-length") or 0))
        faults, is_post = self.faults, head.method == "POST"
        if is_post and faults.takes("full"):
            writer.write(b"HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            return True
        if is_post and faults.takes("gateway"):
            writer.write(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n")
            return True
        if is_post and faults.takes("lost_requests"):
            return False
        is_up = head.target.endswith("/up")
        if is_up and faults.takes("cut_ups"):
            # What has come of it counts, and it comes again.
            to_product.write(raw + body[: len(body) // 2])
            await to_product.drain()
            return False
        to_product.write(raw + body)
        answer = await from_product.readuntil(b"\r\n\r\n")
        length = int(Head(answer[:-4]).one("content-length") or 0)
        answer += await from_product.readexactly(length)
        if is_up and faults.takes("lost_ups"):
            return False
        if head.target.endswith("/down") and length and faults.takes("cut_downs"):
            writer.write(answer[: -length // 2])
            await writer.drain()
            return False
        writer.write(answer)
        return True

    async def _socket(self, raw, reader, writer, from_product, to_product):
        self.sockets += 1
        faults = self.faults
        if faults.socket == "refuse":
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return await writer.drain()
        if faults.socket == "hang":
            return await reader.read()
        if faults.socket == "late":
            # It arrives when the page, which has given it up, goes on by requests.
            await asyncio.sleep(7)
        to_product.write(raw)
        answer = await from_product.readuntil(b"\r\n\r\n")
        if faults.socket == "late answer":
            await asyncio.sleep(7)
        if faults.socket.startswith("late"):
            self.late = answer.split(b"\r\n")[0].decode() + " "
        writer.write(answer)
        up = asyncio.create_task(self._pump(reader, to_product, faults.socket_dies_after))
        down = asyncio.create_task(self._pump(from_product, writer, 0))
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        # The last word of the one that closes.
        await asyncio.wait((up, down), timeout=0.5)
        for task in (up, down):
            task.cancel()

    async def _pump(self, reader, writer, most):
        got = 0
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(1 << 16):
                got += len(data)
                if most and got > most:
                    return
                if not self.faults.mute:
                    writer.write(data)
                    await writer.drain()
