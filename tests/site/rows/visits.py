"""Browsers, tools and probers: what strangers see."""

import re
import time

import bench
import tls
from bench import SECRET, SITE_PATIENCE, WAITING, Verdict, both, equal, exchange, flight, path, row, run, without_dates
from servers import every, looked, mannered, of, pairs

NGINX_NAMES = ["ecdsa.test", "rsa.test"]


def fetch(address, name, version, page):
    root = "root-rsa.crt" if name == "rsa.test" else "root-ec.crt"
    return run(
        "curl", "-sS", "-i", version, "--cacert", path(root),
        "--connect-to", f"{name}:443:{address[0]}:443", f"https://{name}/{page}",
    )


@row("curl --http1.1", over=NGINX_NAMES)
def curl_old(name):
    return curl(name, "--http1.1")


@row("curl --http2", over=NGINX_NAMES)
def curl_new(name):
    return curl(name, "--http2")


def curl(name, version):
    nginx = pairs["nginx"]
    direct, through = (fetch(address, name, version, "") for address in (nginx.site, nginx.proxy))
    good = f"This is {name}".encode() in direct
    return Verdict(good and without_dates(direct) == without_dates(through), f"{through}")


@row("curl: 3 MB")
def curl_large():
    nginx = pairs["nginx"]
    direct, through = (fetch(address, "ecdsa.test", "--http2", "large/file") for address in (nginx.site, nginx.proxy))
    good = len(direct) > 3_000_000 and without_dates(direct) == without_dates(through)
    return Verdict(good, f"{len(through)} bytes")


S_CLIENT = {
    "TLS 1.3": ["-servername", "ecdsa.test", "-alpn", "h2"],
    "TLS 1.2": ["-servername", "rsa.test", "-tls1_2"],
    "without a name": ["-noservername"],
    "another name": ["-servername", "other.test"],
    "an old version": ["-servername", "ecdsa.test", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    "another group": ["-servername", "ecdsa.test", "-groups", "P-384"],
}
SHOWN = re.compile(
    rb"(?m)(Cipher is .*|^subject=.*|^issuer=.*|^Server Temp Key.*|^ALPN.*|tlsv1 alert .*:SSL"
    rb"|^Peer signature type.*|-----BEGIN[^-]*-----[^-]*-----END)"
)


@row("openssl s_client", over=list(S_CLIENT))
def s_client(what):
    nginx = pairs["nginx"]
    direct, through = (
        SHOWN.findall(run("openssl", "s_client", "-connect", f"{address[0]}:443", *S_CLIENT[what]))
        for address in (nginx.site, nginx.proxy)
    )
    return Verdict(bool(direct) and direct == through, f"{through}")


@row("headless Chromium")
def chromium():
    words = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors",
        f"--user-data-dir={path('chromium')}", f"--host-resolver-rules=MAP * {pairs['nginx'].proxy[0]}:443",
        "--dump-dom", "https://ecdsa.test/from-chromium",
    ]
    shown = run(*words, limit=60)
    visited = [line for line in bench.read("access.log").splitlines() if "/from-chromium" in line]
    good = b"This is ecdsa.test, GET" in shown and bool(visited) and "HTTP/2.0" in visited[0]
    return Verdict(good, f"{shown[-500:]}")


# --- probers

PROBES = {
    "plain HTTP": lambda hello: (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
    "plain HTTP, a short one": lambda hello: (b"GET /\r\n\r\n", False),
    "garbage": lambda hello: (bytes(range(128, 256)) * 4, False),
    "a mail client": lambda hello: (b"EHLO example.com\r\n", False),
    "a malformed hello": lambda hello: (hello[:43] + b"\xc8" + hello[44:], False),
    "a hello in a huge record": lambda hello: (b"\x16\x03\x01\xff\xff" + hello[5:], False),
    "half a hello and the end": lambda hello: (hello[:300], True),
    "half a request and silence": lambda hello: (b"GET / HTTP/1.1\r\nHo", False),
    "nothing and the end": lambda hello: (b"", True),
}
SILENCES = {
    "half a hello and silence": lambda hello: hello[:300],
    "nothing and silence": lambda hello: b"",
}
# What is sent at once and two seconds later.
LATE = {
    "half a hello in two": lambda hello: (hello[:100], hello[100:300]),
    "a hello in two": lambda hello: (hello[:100], hello[100:]),
    "a hello after silence": lambda hello: (b"", hello),
}


def each(table):
    return lambda: [f"{pair}: {what}" for pair in every() for what in table]


@row("prober", phase=WAITING, over=each(PROBES))
def prober(label):
    name, what = label.split(": ", 1)
    pair = pairs[name]
    hello, _ = tls.client_hello(pair.domain)
    sent, finish = PROBES[what](hello)
    direct, through = both(
        lambda: exchange(pair.site, sent, finish), lambda: exchange(pair.proxy, sent, finish)
    )
    same = [without_dates(got) for got, _, _ in (direct, through)]
    # The proxy notices silence after a second.
    good = same[0] == same[1] and direct[1] == through[1]
    good = good and direct[2] - 0.5 < through[2] < direct[2] + 1.5
    return Verdict(good, f"{direct} directly, {through} through the proxy")


@row("silence", phase=WAITING, over=each(SILENCES))
def silence(label):
    """It ends as at the site, to half a second."""
    name, what = label.split(": ", 1)
    pair = pairs[name]
    mannered(pair)
    sent = SILENCES[what](tls.client_hello(pair.domain)[0])
    direct, through = both(*[lambda to=to: exchange(to, sent, limit=SITE_PATIENCE + 4) for to in (pair.site, pair.proxy)])
    same = [without_dates(got) for got, _, _ in (direct, through)]
    good = same[0] == same[1] and direct[1] == through[1] and abs(direct[2] - through[2]) < 0.5
    shown = [f"{len(got)} bytes, {end} after {seconds:.2f} s" for got, end, seconds in (direct, through)]
    return Verdict(good and direct[2] > SITE_PATIENCE - 1, f"the site {shown[0]}, the proxy {shown[1]}")


@row("deadline", phase=WAITING, over=each(LATE))
def deadline(label):
    """It does not move with what comes late, or moves as the site's."""
    name, what = label.split(": ", 1)
    pair = pairs[name]
    mannered(pair)
    sent, later = LATE[what](tls.client_hello(pair.domain)[0])
    direct, through = both(
        *[lambda to=to: exchange(to, sent, limit=SITE_PATIENCE + 6, later=later) for to in (pair.site, pair.proxy)]
    )
    good = bool(direct[0]) == bool(through[0]) and direct[1] == through[1] and abs(direct[2] - through[2]) < 0.5
    shown = [f"{len(got)} bytes, {end} after {seconds:.2f} s" for got, end, seconds in (direct, through)]
    return Verdict(good, f"the site {shown[0]}, the proxy {shown[1]}")


UNPROVEN = ["an unsigned hello", "a hello of yesterday", "a replayed hello", "a hello with another secret"]


@row("site's flight for", over=lambda: [f"{pair}: {what}" for pair in every() for what in UNPROVEN])
def unproven(label):
    name, what = label.split(": ", 1)
    pair = pairs[name]
    hello, _ = tls.client_hello(pair.domain)
    sent = hello
    if what == "a hello of yesterday":
        sent, _ = tls.client_hello(pair.domain, SECRET, clock=time.time() - 86_400)
    if what == "a hello with another secret":
        sent, _ = tls.client_hello(pair.domain, bytes(16))
    if what == "a replayed hello":
        sent, _ = tls.client_hello(pair.domain, SECRET)
        first = flight(pair.proxy, sent)
        if len(first.records) != 3:
            return Verdict(False, f"the first time it is no client's: {first.records}")
    direct, through = flight(pair.site, hello), flight(pair.proxy, sent)
    # Theirs may have a record for each message, ours has one.
    return equal((direct.shape(), len(direct.records)), (through.shape(), len(through.records)))


@row("the start and `check` say what gives it away", over=of("nginx"))
def advice(nginx):
    looked(nginx)
    site = flight(nginx.site, tls.client_hello("ecdsa.test")[0])
    count = sum(kind == 0x17 for kind, _ in site.records)
    several = f"answers with {count} encrypted records"
    classical = "does not do X25519MLKEM768"
    good = count > 1
    expected = {several: True, classical: site.group != tls.X25519_MLKEM768}
    log = bench.read(nginx.log)
    said = run(
        bench.BINARY, "check", "--listen", "127.0.0.3:443", "--secret", SECRET.hex(), "--tls-domain", "ecdsa.test",
        "--data-dir", path("check"), "--external-ip", "198.51.100.1", limit=60,
    ).decode()
    for words, wanted in expected.items():
        for name in NGINX_NAMES:
            good = good and (f"warn {name} {words}" in log) == wanted
        verdict = f"warn  front site ecdsa.test:443 for ecdsa.test: {words}"
        good = good and (verdict in said) == wanted
    good = good and "ok    front site ecdsa.test:443 for ecdsa.test: answers TLS with" in said
    # The hosts file tells nothing of the name in DNS: it is not judged.
    good = good and "ok    site ecdsa.test: exists" in said and "ecdsa.test leads to" not in log
    return Verdict(good, f"{expected}\n{said}")
