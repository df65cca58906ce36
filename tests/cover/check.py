"""The same is asked of web servers and of the WEB proxy in front of them, over each of its
doors: each answer has to be the same, byte for byte but for its date, and so has the way in
which the connection ends. Then hellos, of which faces.py has more to say.

    check.py BINARY [WORD...]
    check.py --at PROXY:PORT SERVER:PORT [WORD...]

With words only rows that have one of them in their names are asked."""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
import faces  # noqa: E402
import servers  # noqa: E402
from ask import Tls, ask  # noqa: E402
from rows import AT_APP, AT_NGINX  # noqa: E402

WORKERS = 24
# Whoever is slow only now and then is asked again, by itself, with more patience.
SECOND_QUIET = 4.0


class Way:
    """A door of the proxy, and the server that is asked beside it."""

    def __init__(self, name, rows, proxy, server, to_proxy=None, to_server=None):
        self.name, self.rows = name, rows
        self.proxy, self.server = proxy, server
        self.to_proxy, self.to_server = to_proxy, to_server

    def asked(self, row, **more):
        with ThreadPoolExecutor(2) as pool:
            proxy = pool.submit(ask, self.proxy, row, self.to_proxy, **more)
            server = pool.submit(ask, self.server, row, self.to_server, **more)
            return proxy.result(), server.result()


def ways(all_servers):
    at = all_servers.address
    www, app = servers.HOSTS
    browser = ("h2", "http/1.1")
    plain_end = Tls(app, minds_goodbye=False)
    return [
        Way("web-listen", AT_NGINX, at("web"), at("nginx")),
        Way("web-listen, app", AT_APP, at("web"), at("app")),
        Way("TLS", AT_NGINX, at("door"), at("nginx_tls"), Tls(www, browser), Tls(www, browser)),
        Way("TLS, app", AT_APP, at("door"), at("app"), plain_end),
        Way("TLS, other name", AT_NGINX, at("door"), at("nginx_tls"), Tls("other.example", ()), Tls("other.example", ())),
        Way("TLS, fronting", AT_NGINX, at("fronted"), at("nginx_tls"), Tls(www), Tls(www)),
        Way("stranger, fronting", AT_NGINX, at("fronted"), at("nginx_tls"), Tls("other.example"), Tls("other.example")),
    ]


def looked(one):
    title, act = one
    try:
        return title, act()
    except Exception as error:  # noqa: BLE001  (told as a difference, and the rest still runs)
        return title, (f"{error!r}", None)


def known_differences():
    known = {}
    with open(os.path.join(servers.HERE, "differs.txt")) as file:
        for line in file:
            line = line.strip()
            if line and not line.startswith("#"):
                name, why = line.split("\t")
                known[name] = why
    return known


def compare(way, name, row):
    answers = way.asked(row)
    if answers[0] != answers[1]:
        answers = way.asked(row, quiet=SECOND_QUIET)
    return f"{name} [{way.name}]", answers


def tell(title, answers, known):
    """Whether that is a failure."""
    is_same, why = answers[0] == answers[1], known.pop(title, None)
    if is_same == (why is None) or is_same and why.endswith("?"):
        return False
    if is_same:
        print(f"FAILED  {title}: it is equal: take it off differs.txt")
        return True
    print(f"DIFFERS {title}")
    for who, answer in zip(("proxy", "server"), answers):
        print(f"    {who}: {shown(answer)}")
    return True


def shown(answer):
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], bytes):
        text, end = answer
        return f"{end}, {len(text)} bytes: {text[:300]!r}"
    return str(answer)


def run(chosen, known):
    """All of these rows, some at a time; how many failed."""
    with ThreadPoolExecutor(WORKERS) as pool:
        asked = pool.map(lambda one: compare(*one), chosen)
        return sum(tell(title, answers, known) for title, answers in asked)


def parse(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def has_word(title, words):
    return not words or any(word in title for word in words)


def at(proxy, server, *words):
    way = Way("at", AT_NGINX, parse(proxy), parse(server))
    chosen = [(way, name, row) for name, row in way.rows.items() if has_word(name, words)]
    failed = run(chosen, {})
    print(f"{len(chosen)} rows, {failed} failed")
    return failed


def whole(binary, *words):
    with tempfile.TemporaryDirectory() as work:
        all_servers = servers.Servers(binary, work)
        try:
            known = known_differences()
            known = {name: why for name, why in known.items() if has_word(name, words)}
            count = len(known)
            chosen = [
                (way, name, row)
                for way in ways(all_servers)
                for name, row in way.rows.items()
                if has_word(f"{name} [{way.name}]", words)
            ]
            failed = run(chosen, known)
            hellos = [one for one in faces.rows(all_servers) if has_word(one[0], words)]
            with ThreadPoolExecutor(WORKERS) as pool:
                for title, answers in pool.map(looked, hellos):
                    failed += tell(title, answers, known)
            for name in known:
                print(f"FAILED  {name}: differs.txt has it, but there is no such row")
            failed += len(known)
            if failed:
                all_servers.tell()
            rows = len(chosen) + len(hellos)
            print(f"{rows} rows, {count - len(known)} differ as they are known to, {failed} failed")
            return failed
        finally:
            all_servers.end()


if __name__ == "__main__":
    options = sys.argv[1:]
    sys.exit((at(*options[1:]) if options[0] == "--at" else whole(*options)) > 0)
