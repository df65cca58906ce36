"""A site that computes its answers: whatever HTTP allows, and some of what it does not.

    origin.py PORT

Each connection is a thread that reads bytes and writes bytes, so that an answer can be
wrong in any way. `/echo` shows a request as it came, chunks and all."""

import socket
import struct
import sys
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nServer: app\r\n"


def plain(body, fields=b""):
    return HEAD + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Gone(Exception):
    """The client has said its last."""


class Visit:
    def __init__(self, connection):
        self.connection = connection
        self.received = b""

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise Gone
        self.received += data

    def take(self, count):
        while len(self.received) < count:
            self.more()
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def until(self, mark):
        while mark not in self.received:
            self.more()
        return self.take(self.received.index(mark) + len(mark))

    def say(self, data):
        self.connection.sendall(data)

    def slowly(self, data, pause=0.1):
        for one in data:
            self.say(bytes([one]))
            time.sleep(pause)

    def body(self):
        """As it comes, with all that frames it."""
        fields = self.head.lower()
        if b"transfer-encoding:" in fields:
            raw = b""
            while True:
                line = self.until(b"\r\n")
                raw += line
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    break
                raw += self.take(size + 2)
            while True:
                line = self.until(b"\r\n")
                raw += line
                if line == b"\r\n":
                    return raw
        return self.take(self.length())

    def length(self):
        for line in self.head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return int(line.split(b":")[1])
        return 0

    def run(self):
        """Requests, until one of both ends."""
        while True:
            self.head = self.until(b"\r\n\r\n")
            first = self.head.split(b"\r\n")[0].split(b" ")
            method, target, version = first
            path = target.split(b"?")[0].strip(b"/").replace(b"-", b"_").split(b"/")
            self.is_head, self.is_old = method == b"HEAD", version == b"HTTP/1.0"
            if method == b"CONNECT":
                path = [b"tunnel"]
            act = getattr(self, "do_" + path[0].decode("latin-1"), self.do_none)
            if act(*path[1:]) == "close":
                return
            kept = b"connection: keep-alive" in self.head.lower()
            if self.is_old and not kept or b"connection: close" in self.head.lower():
                return

    def do_none(self, *_):
        self.body()
        self.say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n")

    def do_echo(self):
        self.say(plain(self.head + self.body(), b"Content-Type: text/plain\r\n"))

    def do_continue(self):
        time.sleep(0.2)
        self.say(b"HTTP/1.1 100 Go on\r\nX-Why: it may\r\n\r\n")
        self.say(plain(self.head + self.body()))

    def do_refuse(self):
        self.say(b"HTTP/1.1 417 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
        return "close"

    def do_refuse_kept(self):
        self.say(b"HTTP/1.1 413 Too much\r\nContent-Length: 3\r\n\r\nno\n")

    def do_hints(self):
        self.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
        self.say(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.2)
        self.say(plain(b"at last"))

    def do_early(self):
        self.say(plain(b"early"))
        self.body()

    def do_early_close(self):
        self.say(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nearly")
        return "close"

    def do_chunks(self):
        self.say(HEAD + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        if not self.is_head:
            self.say(b'4;a="b"\r\nwiki\r\n')
            time.sleep(0.2)
            self.say(b"0006\r\npedia.\r\n000\r\nX-Sum: 1\r\nx-other:  2\r\n\r\n")

    def do_chunks_cut(self):
        self.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\nwiki")
        return "close"

    def do_chunks_bad(self):
        self.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\nnonsense\r\nmore")
        return "close"

    def do_slow(self):
        self.say(HEAD + b"Content-Length: 8\r\n\r\n")
        if not self.is_head:
            self.slowly(b"patience")

    def do_slow_head(self):
        self.slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0.02)

    def do_until_close(self):
        self.say(HEAD + b"\r\nall of it")
        time.sleep(0.2)
        self.say(b", and more")
        return "close"

    def do_cut(self):
        self.say(HEAD + b"Content-Length: 100\r\n\r\nhalf")
        return "close"

    def do_reset(self):
        self.say(HEAD + b"Content-Length: 100\r\n\r\nhalf")
        # Else the bytes might go with the connection.
        time.sleep(0.3)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return "close"

    def do_longer(self):
        self.say(HEAD + b"Content-Length: 4\r\n\r\nmore than four")
        return "close"

    def do_length_twice(self):
        self.say(HEAD + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nfour")

    def do_two_lengths(self):
        self.say(HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfour5")
        return "close"

    def do_both_lengths(self):
        self.say(HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n")
        return "close"

    def do_204(self):
        self.say(b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")

    def do_304(self):
        self.say(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n')

    def do_304_length(self):
        self.say(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n")

    def do_204_length(self):
        self.say(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")

    def do_close(self):
        self.say(HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nbye")
        return "close"

    def do_old(self):
        self.say(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
        return "close"

    def do_old_kept(self):
        self.say(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold")

    def do_odd(self):
        self.say(
            b"HTTP/1.1 200 Very   well, \xe4\r\nset-cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nX-EMPTY:\r\n"
            b"x-spaces:    a  b   \r\nVia: 1.1 x\r\nKeep-Alive: timeout=7\r\nConnection: keep-alive, X-Mine\r\n"
            b"X-Mine: \xff\xfe\r\nx:y\r\nCONTENT-LENGTH:   4\r\nDate: never\r\n\r\nfour"
        )

    def do_bare(self):
        self.say(b"HTTP/1.1 200 OK\nContent-Length: 4\n\nfour")
        return "close"

    def do_folded(self):
        self.say(HEAD + b"X: a\r\n b\r\nContent-Length: 4\r\n\r\nfour")
        return "close"

    def do_no_reason(self):
        self.say(b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nfour")

    def do_999(self):
        self.say(b"HTTP/1.1 999 Odd\r\nContent-Length: 4\r\n\r\nfour")

    def do_large_head(self):
        self.say(plain(b"large", b"".join(b"X-%d: %s\r\n" % (one, b"x" * 3000) for one in range(20))))

    def do_too_large_head(self):
        self.say(plain(b"large", b"".join(b"X-%d: %s\r\n" % (one, b"x" * 3000) for one in range(40))))
        return "close"

    def do_many_fields(self):
        self.say(plain(b"many", b"".join(b"X-%d: y\r\n" % one for one in range(200))))
        return "close"

    def do_garbage(self):
        self.say(b"\x16\x03\x01 what is this\n")
        return "close"

    def do_nothing(self):
        return "close"

    def do_half_head(self):
        self.say(b"HTTP/1.1 200 OK\r\nContent-Le")
        return "close"

    def do_upgrade(self):
        self.take(self.length())
        self.say(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
        return self.back()

    def do_upgrade_end(self):
        self.say(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        self.more()
        self.say(b"bye")
        return "close"

    def do_tunnel(self):
        self.say(b"HTTP/1.1 200 Connected\r\n\r\n")
        return self.back()

    def back(self):
        """What comes goes back, until its end."""
        try:
            while True:
                self.say(self.received)
                self.received = b""
                self.more()
        except Gone:
            self.say(b"over")
        return "close"

    def do_bytes(self, count):
        self.say(plain(bytes(range(250)) * (int(count) // 250)))

    def do_count(self):
        self.say(plain(b"%d" % len(self.body())))

    def do_mirror(self):
        left = self.length()
        self.say(HEAD + b"Content-Length: %d\r\n\r\n" % left)
        while left:
            if not self.received:
                self.more()
            left -= len(self.received)
            self.say(self.received)
            self.received = b""


def serve(connection):
    with connection:
        connection.settimeout(30)
        try:
            Visit(connection).run()
            # What is unread would turn the end into a reset.
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(2)
            while connection.recv(65536):
                pass
        except (Gone, OSError, ValueError):
            pass


def main():
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
