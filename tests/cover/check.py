"""Asks a web server directly, and through the WEB proxy's cover in front of it, the same:
each answer has to be the same, byte for byte but for its date, and so has the way in which
the connection ends.

    check.py PROXY:PORT SERVER:PORT [WORD...]

The server shows what run.sh has put there. With words only rows that have one of them in
their names are asked."""

import re
import socket
import sys
import threading
import time

HOST = b"Host: www.example.com\r\n"
# A connection without a byte for so long is one that stays open, in seconds.
QUIET = 1.0
# A date may pass into the next second in between.
DATE = re.compile(rb"(Date|Expires): [^\r\n]*")
# nginx counts its boundaries.
BOUNDARY = re.compile(rb"(boundary=|--)\d{20}")


def get(target=b"/", fields=b"", version=b"1.1", method=b"GET", host=HOST):
    return method + b" " + target + b" HTTP/" + version + b"\r\n" + host + fields + b"\r\n"


def chunks(*parts, trailers=b"", extension=b""):
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    return body + b"0\r\n" + trailers + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
LONG = b"x" * 5000


def length(count):
    return b"Content-Length: %d\r\n" % count


# A row is what is sent: bytes, or seconds to wait in between.
ROWS = {
    "page": [get()],
    "page closed by the client's word": [get(fields=CLOSE)],
    "page of old": [get(version=b"1.0")],
    "page of old, kept": [get(version=b"1.0", fields=b"Connection: keep-alive\r\n")],
    "page without a host of old": [get(version=b"1.0", host=b"")],
    "head": [get(method=b"HEAD")],
    "head, then page": [get(method=b"HEAD") + get()],
    "three in a row": [get() * 3],
    "three one after another": [get(), 0.1, get(), 0.1, get(fields=CLOSE)],
    "query": [get(b"/?a=b&c=%20d")],
    "escaped path": [get(b"/%69ndex.html")],
    "path with dots": [get(b"/a/../index.html")],
    "path out of the root": [get(b"/../../etc/passwd")],
    "directory without a slash": [get(b"/dir")],
    "directory without an index": [get(b"/empty/")],
    "nothing there": [get(b"/none")],
    "whole URL": [get(b"http://www.example.com/")],
    "asterisk": [get(b"*", method=b"OPTIONS")],
    "another host": [get(host=b"Host: other.example\r\n")],
    "host with a port": [get(host=b"Host: www.example.com:443\r\n")],
    "no host": [get(host=b"")],
    "two hosts": [get(fields=HOST)],
    "empty host": [get(host=b"Host:\r\n")],
    "bridge of nobody": [get(b"/?bridge=MHLEY5PmW1GWqJkSrlmJpvJUiLhBH_QKy6yKg8a0JPk")],
    "bridge of nobody, too long": [get(b"/?bridge=" + b"A" * 44)],
    "api without a token": [get(b"/api/v1/session", length(9), method=b"POST") + bytes(9)],
    "api with a wrong token": [
        get(b"/api/v1/down", b"Authorization: Bearer " + b"A" * 43 + b"\r\n", method=b"POST")
    ],
    "upgrade that nobody wants": [
        get(b"/api/v1/ws", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
    ],
    "upgrade to h2c": [
        get(fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")
    ],
    "h2 preface": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "range": [get(b"/large", b"Range: bytes=10-19\r\n")],
    "last bytes": [get(b"/large", b"Range: bytes=-5\r\n")],
    "two ranges": [get(b"/large", b"Range: bytes=0-1,5-6\r\n" + CLOSE)],
    "range that is not there": [get(b"/large", b"Range: bytes=99999999-\r\n")],
    "large": [get(b"/large", CLOSE)],
    "large, compressed": [get(b"/large.txt", b"Accept-Encoding: gzip\r\n" + CLOSE)],
    "large, slowly": [get(b"/slow", CLOSE)],
    "in chunks": [get(b"/chunks", b"Accept-Encoding: gzip\r\n")],
    "unchanged": [get(fields=b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n")],
    "changed": [get(fields=b'If-Match: "x"\r\n')],
    "redirect": [get(b"/moved")],
    "closed without an answer": [get(b"/gone")],
    "upload": [get(b"/take", length(5), method=b"POST") + b"abcde" + get()],
    "upload in chunks": [get(b"/take", CHUNKED, method=b"POST") + chunks(b"abc", b"de") + get()],
    "upload in chunks with all that there may be": [
        get(b"/take", CHUNKED + b"TE: trailers\r\nTrailer: X\r\n", method=b"POST")
        + chunks(b"abc", trailers=b"X: y\r\n", extension=b';a="b"') + get()
    ],
    "upload, slowly": [get(b"/take", length(5), method=b"PUT"), 0.2, b"ab", 0.2, b"cde", 0.2, get()],
    "upload that is expected": [
        get(b"/take", length(5) + b"Expect: 100-continue\r\n", method=b"POST"), 0.3, b"abcde"
    ],
    "upload that is too large": [get(b"/small", length(1 << 20), method=b"POST") + b"x" * 1000],
    "upload that is cut off": [get(b"/take", length(50), method=b"POST") + b"abcde", "end"],
    "half closed": [get(), "end"],
    "head in pieces": [b"GET / HT", 0.2, b"TP/1.1\r\nHo", 0.2, b"st: www.example.com\r\n", 0.2, b"\r\n"],
    "head that is cut off": [b"GET / HTTP/1.1\r\nHost: w", "end"],
    "long field": [get(fields=b"X: " + LONG + b"\r\n")],
    "too long field": [get(fields=b"X: " + LONG * 8 + b"\r\n")],
    "too long head": [get(fields=(b"X: " + LONG + b"\r\n") * 20)],
    "too long target": [get(b"/" + LONG * 4)],
    "many fields": [get(fields=b"X: y\r\n" * 200)],
    "ends of lines alone": [b"GET / HTTP/1.1\nHost: www.example.com\n\n"],
    "empty lines in front": [b"\r\n\r\n" + get()],
    "request of 1991": [b"GET /\r\n"],
    "another version": [get(version=b"1.2")],
    "version that is none": [get(version=b"9.9")],
    "small letters": [get(method=b"get")],
    "method of nobody": [get(method=b"FETCH")],
    "trace": [get(method=b"TRACE")],
    "connect": [get(b"www.example.com:443", method=b"CONNECT")],
    "no request": [b"nonsense\r\n\r\n"],
    "TLS": [bytes.fromhex("160301020001")],
    "zero byte": [get(fields=b"X: a\0b\r\n")],
    "space in front of the colon": [get(fields=b"X : y\r\n")],
    "field without a colon": [get(fields=b"X\r\n")],
    "line that goes on": [get(fields=b"X: y\r\n z\r\n")],
    "smuggling: both lengths": [
        get(b"/take", length(4) + CHUNKED, method=b"POST") + chunks() + get(b"/none")
    ],
    "smuggling: two lengths": [
        get(b"/take", length(3) + length(4), method=b"POST") + b"abcd" + get(b"/none")
    ],
    "smuggling: length with a sign": [
        get(b"/take", b"Content-Length: +3\r\n", method=b"POST") + b"abc"
    ],
    "smuggling: coding of nobody": [
        get(b"/take", b"Transfer-Encoding: xchunked\r\n", method=b"POST") + chunks(b"abc")
    ],
    "smuggling: two codings": [
        get(b"/take", b"Transfer-Encoding: gzip, chunked\r\n", method=b"POST") + chunks(b"abc")
    ],
    "smuggling: chunk of another length": [
        get(b"/take", CHUNKED, method=b"POST") + b"2\r\nabc\r\n0\r\n\r\n" + get(b"/none")
    ],
    "smuggling: size that is none": [get(b"/take", CHUNKED, method=b"POST") + b"xyz\r\n\r\n"],
}


def ask(address, row):
    """What is answered, and how that ends."""
    with socket.create_connection(address, timeout=30) as connection:
        heard, ended = [], []

        def listen():
            connection.settimeout(QUIET + sum(step for step in row if isinstance(step, float)))
            try:
                while data := connection.recv(65536):
                    heard.append(data)
                    connection.settimeout(QUIET)
                ended.append("closed")
            except TimeoutError:
                ended.append("open")
            except ConnectionError:
                ended.append("reset")

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            for step in row:
                if isinstance(step, float):
                    time.sleep(step)
                elif step == "end":
                    connection.shutdown(socket.SHUT_WR)
                else:
                    connection.sendall(step)
        except OSError:
            pass  # It has closed before it has heard all.
        listener.join()
    text = DATE.sub(rb"\1: -", b"".join(heard))
    return BOUNDARY.sub(rb"\1-", text), ended[0]


def address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def main():
    proxy, server, *words = sys.argv[1:]
    rows = {name: row for name, row in ROWS.items() if not words or any(word in name for word in words)}
    differing = 0
    for name, row in rows.items():
        answers = {}
        asking = [
            threading.Thread(target=lambda who, where: answers.update({who: ask(where, row)}), args=both)
            for both in (("proxy", address(proxy)), ("server", address(server)))
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        same = len(answers) == 2 and answers["proxy"] == answers["server"]
        differing += not same
        print("same   " if same else "DIFFERS", name)
        if not same:
            for who, answer in sorted(answers.items()):
                text, end = answer
                print(f"    {who}: {end}, {len(text)} bytes: {text[:300]!r}")
    print(f"{len(rows)} rows, {differing} differ")
    sys.exit(differing > 0)


main()
