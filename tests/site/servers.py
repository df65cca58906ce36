"""The sites and a proxy beside each: 127.0.0.1x is a site, 127.0.0.2x the proxy
that passes for it. All of them are given so little patience that a row ends."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import bench
from bench import DISK, SECRET, SITE_PATIENCE, WORK, Pair, path
from outside import HERE, THERE

LARGE = 3_000_000
# Where nginx is reached from another network.
OUTER_PORT = 4443
pairs = {}
# Further proxies of nginx, by what is special about them.
aside = {}
skipped = []
telegram_flags = []
started = {}


def of(*names):
    """The pairs of those names that could be started."""
    return lambda: [pairs[name] for name in names if name in pairs]


def every():
    return list(pairs.values())


def direct():
    """nginx once more, and a proxy that speaks to the DCs directly."""
    return aside["direct"]


def outer():
    """nginx and a proxy as another network reaches them."""
    return aside["outer"]


def every_domain():
    return [f"{pair}: {domain}" for pair in pairs.values() for domain in pair.domains]


def domain_of(label):
    """A pair and a domain of it, by what `every_domain` calls them."""
    name, domain = label.split(": ")
    return pairs[name], domain


# --- certificates


def certify(name, key, *, issuer=None, more=(), names=None):
    """NAME.key, NAME.crt and, with what issued it, NAME.pem."""
    keys = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}
    words = ["openssl", "req", "-x509", "-nodes", *keys[key], "-days", "30", "-subj", f"/CN={name}"]
    if issuer:
        words += ["-CA", path(f"{issuer}.crt"), "-CAkey", path(f"{issuer}.key")]
    if names:
        words += ["-addext", "subjectAltName=" + ",".join(f"DNS:{one}" for one in names)]
        words += ["-addext", "basicConstraints=critical,CA:FALSE"]
    said = bench.run(*words, *more, "-keyout", path(f"{name}.key"), "-out", path(f"{name}.crt"))
    if not os.path.exists(path(f"{name}.crt")):
        raise RuntimeError(said.decode())
    with open(path(f"{name}.pem"), "w") as chain:
        chain.write(bench.read(f"{name}.crt"))
        if issuer and names:
            chain.write(bench.read(f"{issuer}.crt"))


def prepare_files():
    """Roots, what they issued, and what the sites serve."""
    os.chmod(WORK, 0o755)
    for key in ("ec", "rsa"):
        certify(f"root-{key}", key)
        certify(f"middle-{key}", key, issuer=f"root-{key}")
    for name, key in (("ecdsa", "ec"), ("rsa", "rsa"), ("apache", "ec"), ("haproxy", "ec"), ("caddy", "ec"), ("node", "ec")):
        certify(f"{name}.test", key, issuer=f"middle-{key}", names=[f"{name}.test"])
    # A flight of more than 4,096 bytes.
    many = [f"name-{number}.long.test" for number in range(120)]
    certify("long.test", "rsa", issuer="middle-rsa", names=["long.test", *many])
    with open(path("roots.pem"), "w") as file:
        file.write(bench.read("root-ec.crt") + bench.read("root-rsa.crt"))
    os.mkdir(path("large"))
    with open(path("large/file"), "wb") as file:
        file.write(os.urandom(LARGE))
    with open(path("large/million"), "wb") as file:
        file.write(os.urandom(1_000_000))


# --- sites


def nginx(site):
    servers = "".join(
        f"""
        server {{
            listen {site[0]}:443 ssl http2{backlog};
            listen {OUTER_PORT} ssl http2{backlog};
            server_name {name};
            ssl_certificate {path(name)}.pem;
            ssl_certificate_key {path(name)}.key;
            ssl_protocols TLSv1.2 TLSv1.3;
            location / {{ default_type text/html; return 200 "<p>This is {name}, ${{request_method}}</p>\n"; }}
            location /large {{ root {WORK}; }}
        }}"""
        for name, backlog in (("ecdsa.test", " backlog=4096"), ("rsa.test", ""), ("long.test", ""))
    )
    write(
        "nginx.conf",
        f"""
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 8000;
pid {WORK}/nginx.pid;
error_log {WORK}/nginx.log;
events {{ worker_connections 4000; }}
http {{
    access_log {WORK}/access.log;
    client_body_temp_path {WORK}/body;
    proxy_temp_path {WORK}/proxy;
    fastcgi_temp_path {WORK}/fastcgi;
    uwsgi_temp_path {WORK}/uwsgi;
    scgi_temp_path {WORK}/scgi;
    client_header_timeout {SITE_PATIENCE}s;
    keepalive_timeout {SITE_PATIENCE}s;
    {servers}
    server {{
        listen 127.0.0.10:8080;
        root {WORK};
    }}
}}
""",
    )
    return ["nginx", "-c", path("nginx.conf"), "-e", path("nginx.log")]


def apache(site):
    modules = "/usr/lib/apache2/modules"
    loaded = "mpm_event authz_core ssl socache_shmcb reqtimeout mime dir".split()
    loaded = [name for name in loaded if os.path.exists(f"{modules}/mod_{name}.so")]
    loads = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in loaded)
    os.mkdir(path("htdocs"))
    write("htdocs/index.html", "<p>This is apache.test</p>\n")
    os.symlink(path("large"), path("htdocs/large"))
    write(
        "apache.conf",
        f"""
{loads}
ServerRoot {WORK}
ServerName apache.test
PidFile {WORK}/apache.pid
DefaultRuntimeDir {WORK}
TypesConfig /dev/null
ErrorLog {WORK}/apache.log
User www-data
Group www-data
StartServers 1
ListenBacklog 4096
# Else the kernel waits for the first byte, for minutes.
AcceptFilter https none
Listen {site[0]}:443
DocumentRoot {WORK}/htdocs
Timeout {SITE_PATIENCE}
KeepAliveTimeout {SITE_PATIENCE}
RequestReadTimeout handshake={SITE_PATIENCE} header={SITE_PATIENCE} body={SITE_PATIENCE}
SSLSessionCache none
<Directory {WORK}/htdocs>
    Require all granted
    Options FollowSymLinks
</Directory>
<VirtualHost *:443>
    SSLEngine on
    SSLCertificateFile {path("apache.test.pem")}
    SSLCertificateKeyFile {path("apache.test.key")}
</VirtualHost>
""",
    )
    return ["apache2", "-f", path("apache.conf"), "-D", "FOREGROUND"]


def haproxy(site):
    write("haproxy.pem", bench.read("haproxy.test.pem") + bench.read("haproxy.test.key"))
    write(
        "haproxy.conf",
        f"""
global
    maxconn 4000
defaults
    mode http
    timeout client {SITE_PATIENCE}s
    timeout http-request {SITE_PATIENCE}s
    timeout http-keep-alive {SITE_PATIENCE}s
    timeout connect 4s
    timeout server 20s
frontend site
    bind {site[0]}:443 ssl crt {path("haproxy.pem")} alpn h2,http/1.1
    http-request return status 200 content-type text/html string "<p>This is haproxy.test</p>" unless {{ path_beg /large }}
    default_backend large
backend large
    server large 127.0.0.10:8080
""",
    )
    return ["haproxy", "-f", path("haproxy.conf")]


def caddy(site):
    write(
        "caddy.conf",
        f"""
{{
    admin off
    auto_https off
    servers {{
        protocols h1 h2
        timeouts {{
            read_header {SITE_PATIENCE}s
            idle {SITE_PATIENCE}s
        }}
    }}
}}
https://caddy.test:443 {{
    bind {site[0]}
    tls {path("caddy.test.pem")} {path("caddy.test.key")}
    root * {WORK}
    file_server /large/*
    respond / "<p>This is caddy.test</p>"
}}
""",
    )
    return ["caddy", "run", "--adapter", "caddyfile", "--config", path("caddy.conf")]


def node(site):
    program = os.environ.get("SITE_NODE", "")
    write(
        "node.js",
        f"""
const fs = require("fs");
const https = require("https");
const options = {{
    key: fs.readFileSync("{path("node.test.key")}"),
    cert: fs.readFileSync("{path("node.test.pem")}"),
    handshakeTimeout: {SITE_PATIENCE * 1000},
    headersTimeout: {SITE_PATIENCE * 1000},
    keepAliveTimeout: {SITE_PATIENCE * 1000},
    connectionsCheckingInterval: 500,
}};
https.createServer(options, (request, response) => {{
    if (request.url.startsWith("/large/")) {{
        fs.createReadStream("{WORK}" + request.url).pipe(response);
    }} else {{
        response.end("<p>This is node.test</p>");
    }}
}}).listen({{ host: "{site[0]}", port: 443, backlog: 4096 }});
""",
    )
    return [program, path("node.js")]


def write(name, text):
    with open(path(name), "w") as file:
        file.write(text)


# What is started: its name, domains, recipe, program.
SITES = [
    ("nginx", ["ecdsa.test", "rsa.test", "long.test"], nginx, "nginx"),
    ("apache", ["apache.test"], apache, "apache2"),
    ("haproxy", ["haproxy.test"], haproxy, "haproxy"),
    ("caddy", ["caddy.test"], caddy, "caddy"),
    ("node", ["node.test"], node, os.environ.get("SITE_NODE", "")),
]


def site_hosts():
    """The hosts file: each name leads to its site."""
    lines = ["127.0.0.1 localhost"]
    for number, (_, domains, _, _) in enumerate(SITES):
        lines += [f"127.0.0.{10 + number} {domain}" for domain in domains]
    return "\n".join(lines) + "\n"


def start_sites():
    outside.start()
    os.environ["HOME"] = os.environ["XDG_DATA_HOME"] = WORK
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    children = {}
    for number, (name, domains, recipe, program) in enumerate(SITES):
        site = (f"127.0.0.{10 + number}", 443)
        proxy = (f"127.0.0.{20 + number}", 443)
        if not (program and shutil.which(program)):
            skipped.append(f"{name} is not here: {WAYS_OUT.get(name, 'cross/setup.sh test installs it')}")
            continue
        children[name] = bench.start(*recipe(site), log=f"{name}.out")
        pairs[name] = Pair(name, site, proxy, domains, f"proxy-{name}.log")
    for name, child in children.items():
        site = pairs[name].site
        bench.wait_for(name, lambda: bench.accepts(site) or child.poll() is not None)
        time.sleep(0.1)
        if child.poll() is not None or not bench.accepts(site):
            del pairs[name]
            skipped.append(f"{name} does not start: {bench.read(f'{name}.out')[-300:]}")


WAYS_OUT = {"node": "npm could not install it; is the package registry reached?"}


# --- another network


class Outside:
    """outside.py, and the cable to it."""

    def __init__(self):
        self.child = None
        self._lock = threading.Lock()

    def start(self):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "outside.py")
        child = bench.start(
            "unshare", "--net", sys.executable, program, log="outside.out", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        said = child.stdout.readline()
        there = f"/proc/{child.pid}/ns/net"
        for words in (
            f"ip link add outside type veth peer name inside netns {child.pid}",
            f"ip addr add {HERE}/24 dev outside",
            "ip link set outside up",
            f"nsenter --net={there} ip addr add {THERE}/24 dev inside",
            f"nsenter --net={there} ip link set inside up",
        ):
            said += bench.run(*words.split())
        if said.strip() != b"ready":
            skipped.append(f"rows from another network: {said.decode().strip()}")
            child.kill()
            return
        self.child = child

    def ask(self, *words):
        with self._lock:
            self.child.stdin.write(json.dumps(words).encode() + b"\n")
            self.child.stdin.flush()
            return json.loads(self.child.stdout.readline())


outside = Outside()


def ask_outside(act, address, name, count):
    return outside.ask(act, address, name, count)


# --- proxies


def start_telegram():
    """One that serves every proxy."""
    if not bench.TELEGRAM:
        return
    child = bench.start(bench.TELEGRAM, log="telegram.out", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for line in child.stdout:
        words = line.decode().split()
        if words[:1] == ["flags"]:
            telegram_flags.extend(words[1:])
        if words == ["ready"]:
            break


def start_proxy(pair, *flags, address=None, data=None, log=None):
    """Neither --fronting nor where its site is: both follow from --tls-domain."""
    address = address or pair.proxy
    domains = [word for name in pair.domains for word in ("--tls-domain", name)]
    route = [] if "--route" in flags else ["--route", "middle"]
    child = bench.start(
        bench.BINARY, "run", "--listen", f"{address[0]}:{address[1]}", "--secret", SECRET.hex(), "--allow", "tls",
        *domains, "--data-dir", os.path.join(DISK, data or f"data-{pair.name}"), "--log-level", "debug",
        *telegram_flags, *route, *flags, log=log or pair.log,
    )
    bench.wait_for("the proxy", lambda: bench.accepts(address) or child.poll() is not None)
    if child.poll() is not None:
        raise RuntimeError(bench.read(log or pair.log)[-500:])
    return child


def start_proxies():
    started["proxies"] = time.monotonic()
    for pair in pairs.values():
        pair.child = start_proxy(pair)
    nginx = pairs["nginx"]
    aside["direct"] = Pair("direct", nginx.site, ("127.0.0.30", 443), nginx.domains, "proxy-direct.log")
    start_proxy(aside["direct"], "--route", "direct")
    if outside.child:
        site, proxy = (HERE, OUTER_PORT), (HERE, 443)
        aside["outer"] = Pair("outer", site, proxy, ["ecdsa.test"], "proxy-outer.log")
        start_proxy(aside["outer"])


def mannered(pair):
    """Waits until the proxy knows how its site ends connections, if it ever does."""
    known = f"{pair.domain}:443 ends connections as in"
    try:
        left = started.get("proxies", 0) + 2 * SITE_PATIENCE + 40 - time.monotonic()
        bench.wait_for(f"the manners of {pair}", lambda: known in bench.read(pair.log), left)
    except TimeoutError:
        pass


def looked(pair):
    """Waits until the proxy has asked its sites."""
    bench.wait_for(
        f"a look at {pair}", lambda: bench.read(pair.log).count("answers TLS with") >= len(pair.domains), 60
    )


if __name__ == "__main__":
    print(site_hosts(), end="")
