"""The servers around a bridge page: TLS in front of the product, and the page of
http://127.0.0.1 that has the bridge page in a frame."""

import asyncio
import contextlib
import ssl
import subprocess

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


def certificate(directory, host):
    """A context with a certificate of that name, which nobody has signed."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
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


def before(product):
    """Takes TLS off what goes to the product, as a web server in front does, and where
    `product.carriers` is `https` lets no WebSocket through, as some do not."""

    async def pump(reader, writer):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        # A browser has a connection for each WebSocket.
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            inner = await asyncio.open_connection("127.0.0.1", product.port)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return writer.transport.abort()
        if product.carriers == "https" and b"\r\nupgrade: websocket\r\n" in head.lower():
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            inner[1].close()
            return writer.close()
        inner[1].write(head)
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

    return serve
