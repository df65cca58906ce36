"""What a server sends, as a tap on loopback sees it."""

import socket
import struct
import threading

ETH_P_ALL = 3
OUTGOING = 4


class Tap:
    """Collects, of what comes from one address, the lengths of segments with
    payload, and how its kernel introduces itself."""

    def __init__(self, server):
        self._server = socket.inet_aton(server[0]), server[1]
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("lo", 0))
        self._socket.settimeout(0.05)
        self._over = False
        # By the client's port.
        self.segments = {}
        # TTL, flags of the IP header, window, options of each SYN-ACK.
        self.greetings = set()

    def __enter__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        self._thread.join()
        self._socket.close()

    def _run(self):
        while True:
            try:
                packet, (_, _, kind, _, _) = self._socket.recvfrom(128)
            except TimeoutError:
                if self._over:
                    return
                continue
            # Loopback shows each packet going out and coming in.
            if kind != OUTGOING and packet[0] >> 4 == 4 and packet[9] == 6:
                self._take(packet)

    def _take(self, packet):
        header = 4 * (packet[0] & 15)
        total = struct.unpack(">H", packet[2:4])[0]
        source, target = struct.unpack(">HH", packet[header : header + 4])
        if (packet[12:16], source) != self._server:
            return
        tcp = packet[header:]
        length = 4 * (tcp[12] >> 4)
        if tcp[13] & 0x12 == 0x12:
            window = struct.unpack(">H", tcp[14:16])[0]
            self.greetings.add((packet[8], packet[6] >> 5, window, options(tcp[20:length])))
        if (payload := total - header - length) > 0:
            self.segments.setdefault(target, []).append(payload)


def options(data):
    """Kinds and contents, without the times of timestamps."""
    found, at = [], 0
    while at < len(data) and data[at] != 0:
        if data[at] == 1:
            found.append("nop")
            at += 1
            continue
        kind, length = data[at], max(2, data[at + 1])
        found.append((kind, b"" if kind == 8 else data[at + 2 : at + length]))
        at += length
    return tuple(found)
