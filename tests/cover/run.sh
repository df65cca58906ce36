#!/bin/sh
# The WEB proxy's cover beside the web server that it shows: the same is asked of both.
#   tests/cover/run.sh [BINARY [WORD...]]
#   tests/cover/run.sh --at PROXY:PORT SERVER:PORT [WORD...]
# Without --at it starts Debian's nginx and the proxy in front of it. The rows are in
# check.py.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

if [ "${1:-}" = --at ]; then
    shift
    exec python3 "$here/check.py" "$@"
fi
command -v nginx >/dev/null || { echo 'tests/cover: nginx is not installed' >&2; exit 1; }

binary=${SMOL_MTPROXY_BIN:-}
case ${1:-} in '') ;; *) binary=$1; shift ;; esac
if [ -z "$binary" ]; then
    sh "$here/../../cross/rust.sh" cargo build --quiet --locked --package smol-mtproxy
    binary=$here/../../${CARGO_TARGET_DIR:-target}/debug/smol-mtproxy
fi

work=$(mktemp -d)
trap 'kill $nginx $proxy 2>/dev/null; wait; rm -rf "$work"' EXIT
nginx=
proxy=

# Three ports that nobody has now.
ports=$(python3 -c '
import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(one.getsockname()[1] for one in both))')
server_port=${ports%% *}
client_port=${ports##* }
proxy_port=${ports#* }
proxy_port=${proxy_port% *}

mkdir -p "$work/site/dir" "$work/site/empty" "$work/tmp"
echo '<!doctype html><title>A page</title>' >"$work/site/index.html"
echo 'inside' >"$work/site/dir/index.html"
head -c 1048576 /dev/urandom >"$work/site/large"
seq 100000 >"$work/site/large.txt"
head -c 200000 /dev/urandom >"$work/site/slow"
cp "$work/site/large.txt" "$work/site/chunks"
chmod -R a+rX "$work"

cat >"$work/nginx.conf" <<EOF
daemon off;
pid $work/nginx.pid;
error_log $work/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $work/tmp/body;
    proxy_temp_path $work/tmp/proxy;
    fastcgi_temp_path $work/tmp/fastcgi;
    uwsgi_temp_path $work/tmp/uwsgi;
    scgi_temp_path $work/tmp/scgi;
    types { text/html html; text/plain txt; }
    gzip on;
    gzip_types text/plain application/octet-stream;
    server {
        listen 127.0.0.1:$server_port;
        root $work/site;
        location /slow { limit_rate 100k; }
        location /moved { return 302 /dir/; }
        location /gone { return 444; }
        location /take { return 200 "taken\n"; }
        location /small { client_max_body_size 1k; return 200; }
    }
}
EOF
nginx -e "$work/error.log" -c "$work/nginx.conf" &
nginx=$!
"$binary" run --listen 127.0.0.1:$client_port --secret web=000102030405060708090a0b0c0d0e0f \
    --dc 1=127.0.0.1:9 --dc 2=127.0.0.1:9 --dc 3=127.0.0.1:9 --dc 4=127.0.0.1:9 --dc 5=127.0.0.1:9 \
    --web www.example.com --web-listen "127.0.0.1:$proxy_port" \
    --web-site "http://127.0.0.1:$server_port" >"$work/proxy.log" 2>&1 &
proxy=$!

python3 - "$proxy_port" "$server_port" <<'EOF' || { cat "$work/proxy.log" "$work/error.log"; exit 1; }
import socket, sys, time
for port in map(int, sys.argv[1:]):
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            if time.monotonic() > end:
                sys.exit(f"nobody listens at {port}")
            time.sleep(0.05)
EOF
python3 "$here/check.py" "127.0.0.1:$proxy_port" "127.0.0.1:$server_port" "$@"
