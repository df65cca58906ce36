"""When answers come."""

import socket
import threading
import time

import tls
from bench import ALONE, CONNECTIONS, LIMIT, SECRET, WAITING, Pair, Verdict, alike, flight, records_of, row, timely
from servers import looked, of, start_proxy

DELAY = 0.03


class Far:
    """A relay to a site that takes `DELAY` in each direction."""

    def __init__(self, address, site):
        self.site = site
        self.listener = socket.create_server(address, backlog=1024)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client):
        try:
            # The SYN and its answer are on their way for as long.
            time.sleep(2 * DELAY)
            site = socket.create_connection(self.site)
        except OSError:
            return client.close()
        back = threading.Thread(target=self._copy, args=(site, client), daemon=True)
        back.start()
        self._copy(client, site)

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(65536):
                time.sleep(DELAY)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def first_byte(address, hello):
    with socket.create_connection(address, LIMIT) as stream:
        began = time.monotonic()
        stream.settimeout(LIMIT)
        stream.sendall(hello)
        stream.recv(1)
        return time.monotonic() - began


@row("answer time, a site 60 ms away", phase=ALONE, over=of("nginx"))
def far_site(nginx):
    """Clients wait as strangers do."""
    Far(("127.0.0.50", 443), nginx.site)
    pair = Pair("far", ("127.0.0.50", 443), ("127.0.0.51", 443), ["ecdsa.test"], "proxy-far.log")
    child = start_proxy(pair, "--fronting", "127.0.0.50:443", log=pair.log)
    for _ in range(20):
        first_byte(pair.proxy, tls.client_hello("ecdsa.test")[0])
    strangers = [first_byte(pair.proxy, tls.client_hello("ecdsa.test")[0]) for _ in range(15)]
    clients = [first_byte(pair.proxy, tls.client_hello("ecdsa.test", SECRET)[0]) for _ in range(15)]
    child.terminate()
    return timely(strangers, clients)


@row("answer time, a site on this machine", phase=ALONE, over=of("nginx"))
def near_site(nginx):
    clients, site = [], []
    for _ in range(50):
        site.append(first_byte(nginx.site, tls.client_hello("ecdsa.test")[0]))
        clients.append(first_byte(nginx.proxy, tls.client_hello("ecdsa.test", SECRET)[0]))
    return timely(site, clients)


def fresh(pair, number):
    own = Pair(f"fresh-{number}", pair.site, (f"127.0.1.{number}", 443), [pair.domain], f"fresh-{number}.log")
    return own, start_proxy(own)


@row("the first answer after a start", phase=WAITING, over=of("nginx", "node"))
def first_answer(pair):
    """A client that comes as soon as the port is open, with nothing kept."""
    own, child = fresh(pair, 10 if pair.name == "nginx" else 11)
    ours = flight(own.proxy, tls.client_hello(pair.domain, SECRET)[0], 3)
    child.terminate()
    records = records_of(pair.site, pair.domain)
    site = [flight(pair.site, tls.client_hello(pair.domain)[0], records) for _ in range(60)]
    lengths = {one.length for one in site}
    # A signature is rarely more than three bytes shorter than its longest.
    good = repr(ours.shape()) == repr(site[0].shape()) and max(lengths) - 4 <= ours.length <= max(lengths)
    return Verdict(good, f"the site {site[0].shape()} {sorted(lengths)}, the proxy {ours.shape()} {ours.length}")


@row("lengths learnt by fresh starts", over=of("nginx", "node"))
def fresh_starts(pair):
    """Many starts with nothing kept, some flights of each."""
    starts = max(10, CONNECTIONS // 60)
    lengths = []
    running = []
    for number in range(starts):
        running.append(fresh(pair, (100 if pair.name == "nginx" else 160) + number))
    for own, child in running:
        looked(own)
        for _ in range(CONNECTIONS // starts):
            lengths.append(flight(own.proxy, tls.client_hello(pair.domain, SECRET)[0], 3).length)
        child.terminate()
    records = records_of(pair.site, pair.domain)
    site = [flight(pair.site, tls.client_hello(pair.domain)[0], records).length for _ in range(CONNECTIONS)]
    return alike(site, lengths)
