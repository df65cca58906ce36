"""What is asked: rows of bytes, seconds and ends (ask.py)."""

HOST = b"Host: www.example.com\r\n"
APP = b"Host: app.example.com\r\n"


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


AT_NGINX = {
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
    "said goodbye": [get(), 0.2, "goodbye", 0.2, "end"],
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


def app(target, fields=b"", **more):
    return get(target, fields, host=APP, **more)


EXPECT = b"Expect: 100-continue\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: echo\r\n"

# Of the site that computes its answers (origin.py), which shows what it was sent.
AT_APP = {
    "echo": [app(b"/echo?a=%20b&c", b"X-Odd:   1 \r\nx-odd: 2\r\nCookie: a=b\r\ncookie: c\r\nX-Empty:\r\n")],
    "echo of a body": [app(b"/echo", length(5), method=b"PUT") + b"abcde" + app(b"/echo")],
    "echo of chunks": [
        app(b"/echo", CHUNKED + b"Trailer: X\r\n", method=b"POST")
        + chunks(b"abc", b"de" * 50, trailers=b"X: y\r\nZ: 1\r\n", extension=b';a="b;c"')
        + app(b"/echo")
    ],
    "echo of chunks, cut anywhere": [
        app(b"/echo", CHUNKED, method=b"POST") + b"3\r", 0.1, b"\nab", 0.1, b"c\r", 0.1, b"\n0;x", 0.1,
        b"\r\nX: y\r", 0.1, b"\n\r", 0.1, b"\n" + app(b"/echo"),
    ],
    "echo of addresses": [app(b"/echo", b"X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nVia: 1.0 x\r\n")],
    "echo of what is for one hop": [app(b"/echo", b"Connection: X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nProxy-Connection: a\r\nKeep-Alive: 5\r\n")],
    "echo of bytes that are no ASCII": [app(b"/echo?\xc3\xa4", b"X: \xe4\xff\r\n")],
    "echo of old": [app(b"/echo", version=b"1.0")],
    "echo of old, kept": [app(b"/echo", b"Connection: keep-alive\r\n", version=b"1.0"), 0.2, app(b"/echo", version=b"1.0")],
    "echo of a body of GET": [app(b"/echo", length(3)) + b"abc" + app(b"/echo")],
    "echo five times in a row": [app(b"/echo?1") + app(b"/echo?2") + app(b"/slow") + app(b"/echo?3") + app(b"/echo?4")],
    "told to go on": [app(b"/continue", EXPECT + length(5), method=b"POST"), 0.4, b"abcde" + app(b"/echo")],
    "told to go on, in chunks": [app(b"/continue", EXPECT + CHUNKED, method=b"POST"), 0.4, chunks(b"abc")],
    "told to go on, not waited": [app(b"/continue", EXPECT + length(5), method=b"POST") + b"abcde"],
    "told not to go on": [app(b"/refuse", EXPECT + length(5), method=b"POST"), 0.4],
    "told not to go on, and asked again": [app(b"/refuse-kept", EXPECT + length(5), method=b"POST"), 0.4, app(b"/echo")],
    "expectation of nobody": [app(b"/echo", b"Expect: a-miracle\r\n")],
    "early hints": [app(b"/hints") + app(b"/echo")],
    "answered before the body is there": [app(b"/early", length(10), method=b"POST") + b"abc", 0.5, b"defghij" + app(b"/echo")],
    "answered before the body is there, and closed": [app(b"/early-close", length(1 << 22), method=b"POST") + b"abc", 0.3],
    "chunks": [app(b"/chunks") + app(b"/echo")],
    "chunks of old": [app(b"/chunks", version=b"1.0")],
    "chunks, head only": [app(b"/chunks", method=b"HEAD") + app(b"/echo")],
    "chunks that break off": [app(b"/chunks-cut")],
    "chunks that are none": [app(b"/chunks-bad")],
    "slow": [app(b"/slow") + app(b"/echo")],
    "slow head": [app(b"/slow-head")],
    "slow body up": [app(b"/echo", length(6), method=b"POST"), *[part for one in b"abcdef" for part in (0.15, bytes([one]))]],
    "until the end": [app(b"/until-close")],
    "until the end, kept in vain": [app(b"/until-close", b"Connection: keep-alive\r\n") + app(b"/echo")],
    "broken off": [app(b"/cut") + app(b"/echo")],
    "reset": [app(b"/reset")],
    "longer than it says": [app(b"/longer")],
    "length twice": [app(b"/length-twice")],
    "two lengths": [app(b"/two-lengths")],
    "both lengths": [app(b"/both-lengths")],
    "nothing to say": [app(b"/204") + app(b"/304") + app(b"/echo")],
    "nothing, with a length": [app(b"/304-length") + app(b"/204-length") + app(b"/echo")],
    "head with a length": [app(b"/slow", method=b"HEAD") + app(b"/echo")],
    "closes by its word": [app(b"/close") + app(b"/echo")],
    "answer of old": [app(b"/old") + app(b"/echo")],
    "answer of old, kept": [app(b"/old-kept", b"Connection: keep-alive\r\n") + app(b"/echo")],
    "fields as nobody writes them": [app(b"/odd") + app(b"/echo")],
    "ends of lines alone down": [app(b"/bare")],
    "line that goes on down": [app(b"/folded")],
    "no reason": [app(b"/no-reason") + app(b"/echo")],
    "status of nobody": [app(b"/999")],
    "large head down": [app(b"/large-head")],
    "too large head down": [app(b"/too-large-head")],
    "many fields down": [app(b"/many-fields")],
    "no HTTP down": [app(b"/garbage")],
    "closes without a word": [app(b"/nothing")],
    "half a head down": [app(b"/half-head")],
    "upgrade": [app(b"/upgrade", UPGRADE), 0.3, b"ping", 0.3, b"pong", "end"],
    "upgrade, and more at once": [app(b"/upgrade", UPGRADE) + b"at once", 0.3, b"later", 0.2, "end"],
    "upgrade that the site ends": [app(b"/upgrade-end", UPGRADE), 0.3, b"ping"],
    "upgrade that is refused": [app(b"/echo", UPGRADE) + app(b"/echo")],
    "upgrade with a body": [app(b"/upgrade", UPGRADE + length(4), method=b"POST") + b"body", 0.3, b"ping", 0.2, "end"],
    "upgrade that nobody asked for": [app(b"/upgrade")],
    "tunnel": [app(b"tunnel:443", method=b"CONNECT"), 0.3, b"ping", 0.2, "end"],
    "large down": [app(b"/bytes/3000000", CLOSE)],
    "large up": [app(b"/count", length(3000000), method=b"POST") + b"z" * 3000000 + app(b"/echo")],
    "large up and down at once": [app(b"/mirror", length(3000000), method=b"POST") + b"z" * 3000000],
    "end while it answers": [app(b"/slow"), 0.3, "end"],
    "head that never ends": [b"GET /echo HTTP/1.1\r\nHost: app.example.com\r\nX: ", 0.3, b"y", "end"],
    "smuggled: a chunk's size that is too long": [
        app(b"/echo", CHUNKED, method=b"POST") + b"10000000000000000000000000\r\nabc\r\n0\r\n\r\n", "end"
    ],
    "smuggled: an end of line alone in chunks": [app(b"/echo", CHUNKED, method=b"POST") + b"3\nabc\n0\n\n" + app(b"/echo"), "end"],
    "smuggled: a field with a hidden length": [
        app(b"/echo", b"Content-Length : 5\r\n", method=b"POST") + b"GET /none HTTP/1.1\r\n\r\n", "end"
    ],
    "smuggled: a coding with a tab": [
        app(b"/echo", b"Transfer-Encoding:\tchunked\r\n", method=b"POST") + chunks(b"abc") + app(b"/echo")
    ],
    "smuggled: a coding in a list": [
        app(b"/echo", b"Transfer-Encoding: identity, chunked\r\n", method=b"POST") + chunks(b"abc"), "end"
    ],
    "smuggled: chunks of old": [app(b"/echo", CHUNKED, method=b"POST", version=b"1.0") + chunks(b"abc"), "end"],
}
