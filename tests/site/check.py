"""See run.sh. The proxy listens on 127.0.0.2:443, nginx on 127.0.0.1:443."""

import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import tls

BINARY, WORK = sys.argv[1:3]
SITE, PROXY = ("127.0.0.1", 443), ("127.0.0.2", 443)
SECRET = bytes.fromhex("0123456789abcdef0123456789abcdef")
NAMES = ["ecdsa.test", "rsa.test"]
# What nginx gives a client that has not finished its hello.
SITE_PATIENCE = 4
ANSWERS = 240
LIMIT = 20

passed = failed = 0
children = []


def check(what, good, detail=""):
    global passed, failed
    if good:
        passed += 1
        print(f"ok      {what}")
    else:
        failed += 1
        print(f"FAILED  {what}: {detail}")


def path(name):
    return os.path.join(WORK, name)


def run(*words, stdin=b"", limit=LIMIT):
    done = subprocess.run(
        words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit
    )
    return done.stdout


def start(*words, log):
    out = open(path(log), "wb")
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    children.append(child)
    return child


def wait_for(what, condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"gave up waiting for {what}")
        time.sleep(0.02)


def accepts(address):
    try:
        socket.create_connection(address, 1).close()
        return True
    except OSError:
        return False


def read(name):
    with open(path(name), errors="replace") as file:
        return file.read()


def exchange(address, sent, finish=False):
    """Everything that comes back until the end, and how long that took."""
    began = time.monotonic()
    with socket.create_connection(address, LIMIT) as stream:
        stream.settimeout(LIMIT)
        stream.sendall(sent)
        if finish:
            stream.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while data := stream.recv(65536):
                got += data
            end = "closed"
        except ConnectionResetError:
            end = "reset"
    return got, end, time.monotonic() - began


def flight(address, hello):
    """The answer to `hello`, until nothing comes any more."""
    with socket.create_connection(address, LIMIT) as stream:
        stream.settimeout(LIMIT)
        stream.sendall(hello)
        got = b""
        while True:
            data = stream.recv(65536)
            if not data:
                break
            got += data
            # Whole records, the last of them encrypted, and silence behind.
            stream.settimeout(0.03 if whole(got) else LIMIT)
            try:
                stream.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                break
            stream.settimeout(LIMIT)
    return tls.Flight(got)


def whole(data):
    at, kind = 0, None
    while at + 5 <= len(data):
        kind = data[at]
        at += 5 + int.from_bytes(data[at + 3 : at + 5], "big")
    return at == len(data) and kind == 0x17


def prepare():
    for name, kind in zip(NAMES, ["ec", "rsa"]):
        options = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}
        run(
            "openssl", "req", "-x509", "-nodes", *options[kind], "-days", "30",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
            "-keyout", path(f"{name}.key"), "-out", path(f"{name}.crt"),
        )
    servers = "".join(
        f"""
        server {{
            listen 127.0.0.1:443 ssl http2;
            server_name {name};
            ssl_certificate {path(name)}.crt;
            ssl_certificate_key {path(name)}.key;
            ssl_protocols TLSv1.2 TLSv1.3;
            location / {{ default_type text/html; return 200 "<p>This is {name}, ${{request_method}}</p>\n"; }}
            location /large {{ root {WORK}; }}
        }}"""
        for name in NAMES
    )
    os.mkdir(path("large"))
    with open(path("large/file"), "wb") as file:
        file.write(os.urandom(3_000_000))
    with open(path("nginx.conf"), "w") as file:
        file.write(
            f"""
user root;
daemon off;
worker_processes 1;
pid {WORK}/nginx.pid;
error_log {WORK}/nginx.log;
events {{ }}
http {{
    access_log {WORK}/access.log;
    client_body_temp_path {WORK}/body;
    proxy_temp_path {WORK}/proxy;
    fastcgi_temp_path {WORK}/fastcgi;
    uwsgi_temp_path {WORK}/uwsgi;
    scgi_temp_path {WORK}/scgi;
    client_header_timeout {SITE_PATIENCE}s;
    {servers}
}}
"""
        )
    os.chmod(WORK, 0o755)
    start("nginx", "-c", path("nginx.conf"), "-e", path("nginx.log"), log="nginx.out")
    wait_for("nginx", lambda: accepts(SITE))
    # Neither --fronting nor where its site is: both follow from --tls-domain.
    domains = [word for name in NAMES for word in ("--tls-domain", name)]
    start(
        BINARY, "run", "--listen", "127.0.0.2:443", "--secret", SECRET.hex(), "--allow", "tls",
        *domains, "--route", "direct", "--data-dir", path("data"), "--log-level", "debug",
        log="proxy.log",
    )
    wait_for("the proxy", lambda: accepts(PROXY))
    wait_for("its look at the sites", lambda: read("proxy.log").count("answers TLS with") == 2)


def without_dates(text):
    return re.sub(rb"(?im)^date:.*\r?\n", b"", text)


def curl():
    for name in NAMES:
        for version in ("--http1.1", "--http2"):
            def fetch(address, page):
                return run(
                    "curl", "-sS", "-i", version, "--cacert", path(f"{name}.crt"),
                    "--connect-to", f"{name}:443:{address[0]}:443", f"https://{name}/{page}",
                )
            direct, through = fetch(SITE, ""), fetch(PROXY, "")
            good = f"This is {name}".encode() in direct
            good = good and without_dates(direct) == without_dates(through)
            check(f"curl {version} {name}", good, through)
    direct, through = fetch(SITE, "large/file"), fetch(PROXY, "large/file")
    good = len(direct) > 3_000_000 and without_dates(direct) == without_dates(through)
    check("curl: 3 MB", good, f"{len(through)} bytes")


def s_client():
    fields = re.compile(
        rb"(?m)(Cipher is .*|^subject=.*|^issuer=.*|^Server Temp Key.*|^ALPN.*|tlsv1 alert .*:SSL"
        rb"|^Peer signature type.*|-----BEGIN[^-]*-----[^-]*-----END)"
    )
    for what, options in [
        ("TLS 1.3", ["-servername", "ecdsa.test", "-alpn", "h2"]),
        ("TLS 1.2", ["-servername", "rsa.test", "-tls1_2"]),
        ("without a name", ["-noservername"]),
        ("another name", ["-servername", "other.test"]),
        ("an old version", ["-servername", "ecdsa.test", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
        ("another group", ["-servername", "ecdsa.test", "-groups", "P-384"]),
    ]:
        direct, through = (
            run("openssl", "s_client", "-connect", f"{address[0]}:443", *options)
            for address in (SITE, PROXY)
        )
        direct, through = fields.findall(direct), fields.findall(through)
        check(f"openssl s_client: {what}", direct and direct == through, through)


def chromium():
    words = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors",
        f"--user-data-dir={path('chromium')}", "--host-resolver-rules=MAP * 127.0.0.2:443",
        "--dump-dom", "https://ecdsa.test/from-chromium",
    ]
    shown = run(*words, limit=60)
    visited = [line for line in read("access.log").splitlines() if "/from-chromium" in line]
    good = b"This is ecdsa.test, GET" in shown and visited and "HTTP/2.0" in visited[0]
    check("headless Chromium", good, shown[-500:])


def probers():
    hello, _ = tls.client_hello("ecdsa.test")
    stale, _ = tls.client_hello("ecdsa.test", SECRET, clock=time.time() - 86_400)
    broken = bytearray(hello)
    broken[43] = 200
    for what, sent, finish in [
        ("plain HTTP", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        ("plain HTTP, a short one", b"GET /\r\n\r\n", False),
        ("garbage", bytes(range(128, 256)) * 4, False),
        ("a mail client", b"EHLO example.com\r\n", False),
        ("a malformed hello", bytes(broken), False),
        ("a hello in a huge record", b"\x16\x03\x01\xff\xff" + hello[5:], False),
        ("half a hello and the end", hello[:300], True),
        ("nothing and the end", b"", True),
        ("half a hello and silence", hello[:300], False),
        ("nothing and silence", b"", False),
    ]:
        direct, through = exchange(SITE, sent, finish), exchange(PROXY, sent, finish)
        same = [without_dates(got[0]) for got in (direct, through)]
        # The proxy notices silence after a second.
        good = same[0] == same[1] and direct[1] == through[1]
        good = good and direct[2] - 0.5 < through[2] < direct[2] + 2.5
        check(f"prober: {what}", good, f"{direct} directly, {through} through the proxy")
    replayed, _ = tls.client_hello("ecdsa.test", SECRET)
    check("prober: a recorded hello is a client's the first time", len(flight(PROXY, replayed).records) == 3)
    for what, sent in [
        ("an unsigned hello", hello),
        ("a hello of yesterday", stale),
        ("a replayed hello", replayed),
    ]:
        direct, through = flight(SITE, hello), flight(PROXY, sent)
        good = direct.shape() == through.shape()
        # Theirs has a record for each message, ours has one.
        good = good and len(through.records) == len(direct.records) > 3
        check(f"prober: {what} gets the site's flight", good, through.records)


def flights():
    for name in NAMES:
        hellos = [tls.client_hello(name, SECRET) for _ in range(ANSWERS)]
        with ThreadPoolExecutor(8) as pool:
            ours = list(pool.map(lambda hello: flight(PROXY, hello[0]), hellos))
            site = list(pool.map(lambda hello: flight(SITE, hello[0]), hellos[: ANSWERS // 2]))
        back = all(one.session == session for one, (_, session) in zip(ours, hellos))
        check(f"{name}: the session id comes back", back)
        shapes = {repr(one.shape()) for one in ours}, {repr(one.shape()) for one in site}
        check(f"{name}: the same suite, group, extensions, records", shapes[0] == shapes[1], shapes)
        lengths = {one.length for one in ours}, {one.length for one in site}
        # ECDSA signatures differ by up to two bytes, and once in a while by more.
        spread = 2 if name == "ecdsa.test" else 0
        close = abs(min(lengths[0]) - min(lengths[1])) <= spread
        close = close and abs(max(lengths[0]) - max(lengths[1])) <= spread
        varies = len(lengths[0]) == 1 if spread == 0 else len(lengths[0]) > 1
        check(f"{name}: flights of the same length", close and varies, lengths)
        alone = all([kind for kind, _ in one.records] == [0x16, 0x14, 0x17] for one in ours)
        check(f"{name}: exactly one encrypted record", alone)
        for what, part in [
            ("random", lambda one: one.random),
            ("key share", lambda one: one.share),
            ("encrypted record", lambda one: one.encrypted),
        ]:
            ours_stuck, site_stuck = (stuck_bits([part(one) for one in many]) for many in (ours, site))
            # The top bit of an x25519 share is 0 for everybody.
            check(f"{name}: no bit of the {what} is fixed", ours_stuck == site_stuck, ours_stuck)
            biased = biased_bits([part(one) for one in ours]) - ours_stuck
            check(f"{name}: no bit of the {what} leans", not biased, biased)


def bit_counts(samples):
    shortest = min(len(sample) for sample in samples)
    counts = [0] * (8 * shortest)
    for sample in samples:
        bits = int.from_bytes(sample[:shortest], "big")
        for at, bit in enumerate(f"{bits:0{8 * shortest}b}"):
            counts[at] += bit == "1"
    return counts


def stuck_bits(samples):
    return {at for at, count in enumerate(bit_counts(samples)) if count in (0, len(samples))}


def biased_bits(samples):
    """More than 6.5 standard deviations off: once in ten million runs."""
    half = len(samples) / 2
    limit = 6.5 * (len(samples) ** 0.5) / 2
    return {at for at, count in enumerate(bit_counts(samples)) if abs(count - half) > limit}


def advice():
    """What the start and `check` say of these sites."""
    site = flight(SITE, tls.client_hello("ecdsa.test")[0])
    count = sum(kind == 0x17 for kind, _ in site.records)
    several = f"answers with {count} encrypted records"
    classical = "does not do X25519MLKEM768"
    good = count > 1
    expected = {several: True, classical: site.group != tls.X25519_MLKEM768}
    log = read("proxy.log")
    said = run(
        BINARY, "check", "--listen", "127.0.0.3:443", "--secret", SECRET.hex(), "--tls-domain", "ecdsa.test",
        "--data-dir", path("check"), "--external-ip", "198.51.100.1", limit=60,
    ).decode()
    for words, wanted in expected.items():
        for name in NAMES:
            good = good and (f"warn {name} {words}" in log) == wanted
        verdict = f"warn  front site ecdsa.test:443 for ecdsa.test: {words}"
        good = good and (verdict in said) == wanted
    check("the start and `check` say what gives it away", good, f"{expected}\n{said}")
    good = "ok    front site ecdsa.test:443 for ecdsa.test: answers TLS with" in said
    # The hosts file tells nothing of the name in DNS.
    good = good and "ok    site ecdsa.test: exists" in said and "ecdsa.test leads to" not in log
    check("a name of the hosts file is not judged", good, said)


def main():
    prepare()
    for part in (curl, s_client, probers, flights, advice, chromium):
        try:
            part()
        except Exception as error:  # noqa: BLE001  (counted, and the rest still runs)
            check(part.__name__, False, repr(error))
    if failed:
        print("\n".join(read("proxy.log").splitlines()[-40:]))
    for child in children:
        child.terminate()
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
