"""The sites, nginx with and without TLS and one that computes, and the proxies in front."""

import os
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HOSTS = ("www.example.com", "app.example.com")
SECRET = "000102030405060708090a0b0c0d0e0f"
# A client of fake TLS asks for a WEB host, or for the name that --fronting is about.
FAKE_TLS = {name: f"ee{number:02x}{'ab' * 15}" for number, name in enumerate((*HOSTS, "site.example.com"))}


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Servers:
    def __init__(self, binary, work):
        self.work, self.children = work, []
        names = ("nginx", "nginx_tls", "app", "web", "door", "fronted", "spare")
        self.ports = dict(zip(names, free_ports(len(names))))
        self.files()
        self.start("nginx", "nginx", "-e", self.path("error.log"), "-c", self.path("nginx.conf"))
        self.start("app", sys.executable, os.path.join(HERE, "origin.py"), str(self.ports["app"]))
        self.wait("nginx", "nginx_tls", "app")
        self.proxy(
            binary, "door", *self.web(HOSTS[0]), *self.web(HOSTS[1]),
            "--web-listen", self.at("web"),
            "--web-site", f"http://{self.at('nginx')}", "--web-site", f"{HOSTS[1]}=http://{self.at('app')}",
        )
        self.proxy(binary, "fronted", *self.web(HOSTS[0]), "--fronting", self.at("nginx_tls"))
        self.wait("web", "door", "fronted")

    def path(self, name):
        return os.path.join(self.work, name)

    def at(self, name):
        return f"127.0.0.1:{self.ports[name]}"

    def address(self, name):
        return "127.0.0.1", self.ports[name]

    def web(self, host):
        return "--web", f"{host},cert={self.path('cert.pem')},key={self.path('key.pem')}"

    def proxy(self, binary, name, *flags):
        dcs = [flag for dc in range(1, 6) for flag in ("--dc", f"{dc}=127.0.0.1:9")]
        secrets = [f"{one}={key}{one.encode().hex()}" for one, key in FAKE_TLS.items()]
        secrets = [flag for secret in (f"web={SECRET}", *secrets) for flag in ("--secret", secret)]
        os.mkdir(self.path(f"data-{name}"))
        self.start(name, binary, "run", "--flood-limit", "off", "--self-test", "no", "--data-dir", self.path(f"data-{name}"), "--listen", self.at(name), *secrets, *dcs, *flags)

    def start(self, log, *words):
        with open(self.path(f"{log}.log"), "ab") as out:
            self.children.append(subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL))

    def wait(self, *names):
        deadline = time.monotonic() + 30
        for name in names:
            while True:
                try:
                    socket.create_connection(self.address(name)).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        self.tell()
                        sys.exit(f"tests/cover: nobody listens at {name}")
                    time.sleep(0.05)

    def tell(self):
        """What they have said."""
        for name in sorted(os.listdir(self.work)):
            if name.endswith(".log"):
                with open(self.path(name), errors="replace") as file:
                    print(f"--- {name}", *file.read().splitlines()[-20:], sep="\n", file=sys.stderr)

    def end(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()

    def files(self):
        os.chmod(self.work, 0o755)
        for name in ("site/dir", "site/empty", "tmp"):
            os.makedirs(self.path(name))
        for name, content in (
            ("index.html", b"<!doctype html><title>A page</title>\n"),
            ("dir/index.html", b"inside\n"),
            ("large", os.urandom(1 << 20)),
            ("large.txt", b"".join(b"%d\n" % one for one in range(100000))),
            ("slow", os.urandom(200000)),
        ):
            with open(self.path(f"site/{name}"), "wb") as file:
                file.write(content)
        shutil.copy(self.path("site/large.txt"), self.path("site/chunks"))
        names = ",".join(f"DNS:{host}" for host in HOSTS)
        words = ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "90"]
        words += ["-subj", f"/CN={HOSTS[0]}", "-addext", f"subjectAltName={names}"]
        words += ["-keyout", self.path("key.pem"), "-out", self.path("cert.pem")]
        subprocess.run(["openssl", *words], check=True, capture_output=True)
        with open(self.path("nginx.conf"), "w") as file:
            file.write(self.nginx())

    def nginx(self):
        temporary = "\n".join(
            f"    {kind}_temp_path {self.path(f'tmp/{kind}')};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""
daemon off;
user root;
pid {self.path("nginx.pid")};
events {{}}
http {{
    access_log off;
    error_log {self.path("error.log")} info;
{temporary}
    types {{ text/html html; text/plain txt; }}
    gzip on;
    gzip_types text/plain application/octet-stream;
    ssl_certificate {self.path("cert.pem")};
    ssl_certificate_key {self.path("key.pem")};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    server {{
        listen {self.at("nginx")};
        listen {self.at("nginx_tls")} ssl;
        root {self.path("site")};
        location /slow {{ limit_rate 100k; }}
        location /moved {{ return 302 /dir/; }}
        location /gone {{ return 444; }}
        location /take {{ return 200 "taken\\n"; }}
        location /small {{ client_max_body_size 1k; return 200; }}
    }}
}}
"""
