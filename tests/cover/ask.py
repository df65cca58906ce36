"""Says something to a server, and tells all that it answers and how that ends."""

import re
import select
import socket
import ssl
import time

# A connection without a byte for so long is one that stays open, in seconds.
QUIET = 1.0
# A date may pass into the next second in between.
DATE = re.compile(rb"(Date|Expires): [^\r\n]*")
# nginx counts its boundaries.
BOUNDARY = re.compile(rb"(boundary=|--)\d{20}")


class Tls:
    """What a hello asks for, and whether a last word is told from none at the end."""

    def __init__(self, name, alpn=("http/1.1",), minds_goodbye=True):
        self.name = name
        self.alpn = alpn
        self.minds_goodbye = minds_goodbye

    def context(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        return context


class Plain:
    """Bytes as they are."""

    def __init__(self, connection):
        self.connection = connection

    def put(self, data):
        return data

    def get(self, data):
        return data

    def end(self):
        return None


class Ciphered:
    """The same through TLS, whose records are made and read by hand: both ways at once,
    and each end as it comes."""

    def __init__(self, connection, tls):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = tls.context()
        self.side = context.wrap_bio(self.incoming, self.outgoing, server_hostname=tls.name)
        self.minds_goodbye = tls.minds_goodbye
        self.said_goodbye = False
        while True:
            try:
                self.side.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(self.outgoing.read())
                data = connection.recv(65536)
                if not data:
                    raise ConnectionResetError("no handshake") from None
                self.incoming.write(data)
        connection.sendall(self.outgoing.read())
        self.chosen = self.side.selected_alpn_protocol()

    def put(self, data):
        self.side.write(data)
        return self.outgoing.read()

    def get(self, data):
        self.incoming.write(data)
        heard = b""
        try:
            while part := self.side.read(65536):
                heard += part
            self.said_goodbye = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.said_goodbye = True
        return heard

    def goodbye(self):
        try:
            self.side.unwrap()
        except ssl.SSLError:
            pass
        return self.outgoing.read()

    def end(self):
        return None if self.said_goodbye or not self.minds_goodbye else "without a last word"


def ask(address, row, tls=None, quiet=QUIET):
    """A row is what is sent: bytes, or seconds to wait in between, or "end" for ours, or
    "goodbye" for that of TLS alone."""
    with socket.create_connection(address, timeout=30) as connection:
        try:
            way = Ciphered(connection, tls) if tls else Plain(connection)
        except (OSError, ssl.SSLError) as error:
            return b"", f"no handshake: {error}"
        talk = Talk(connection, way)
        for step in row:
            if isinstance(step, float):
                talk.go_on(step)
            elif step == "end":
                talk.finish()
            elif step == "goodbye":
                talk.send(way.goodbye() if tls else b"")
            else:
                talk.send(way.put(step))
        talk.listen(quiet)
    text = BOUNDARY.sub(rb"\1-", DATE.sub(rb"\1: -", b"".join(talk.heard)))
    chosen = f" ({way.chosen})" if tls and tls.alpn != ("http/1.1",) else ""
    return text, (talk.ended or "open") + chosen


class Talk:
    """Listens while it speaks, so that no side can hold up the other one."""

    def __init__(self, connection, way):
        self.connection, self.way = connection, way
        self.heard = []
        self.ended = None
        connection.setblocking(False)

    def send(self, data):
        while data and self.ended is None:
            readable, writable, _ = select.select([self.connection], [self.connection], [], 30)
            if readable:
                self.read()
            if writable and self.ended is None:
                try:
                    data = data[self.connection.send(data) :]
                except BlockingIOError:
                    pass
                except OSError:
                    # It has closed before it has heard all.
                    return

    def finish(self):
        try:
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def go_on(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.ended is not None:
                time.sleep(left)
                return
            if select.select([self.connection], [], [], left)[0]:
                self.read()

    def listen(self, quiet):
        while self.ended is None:
            if not select.select([self.connection], [], [], quiet)[0]:
                return
            self.read()

    def read(self):
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self.ended = "reset"
            return
        try:
            self.heard.append(self.way.get(data) if data else b"")
        except ssl.SSLError as error:
            self.ended = f"bad TLS: {error.reason}"
            return
        if not data:
            how = self.way.end()
            self.ended = f"closed {how}" if how else "closed"
