"""What comes from another address than ours: runs in a network namespace of its
own, at the other end of a cable. Obeys one line of JSON after another."""

import json
import resource
import select
import socket
import sys
import time

import bench
import tls

HERE, THERE = "198.51.100.1", "198.51.100.2"


def held(address, name, count):
    """So many connections send the same half of a hello; once all have waited,
    each of them sends the rest. How many are answered."""
    hello, _ = tls.client_hello(name)
    streams = [socket.create_connection(address, bench.LIMIT) for _ in range(count)]
    for stream in streams:
        stream.sendall(hello[:300])
    time.sleep(1.5)
    for stream in streams:
        stream.sendall(hello[300:])
    return outcomes(streams, 6)


def burst(address, name, count):
    """So many whole hellos at once."""
    hellos = [tls.client_hello(name)[0] for _ in range(count)]
    streams = []
    for _ in range(count):
        stream = socket.socket()
        stream.setblocking(False)
        stream.connect_ex(tuple(address))
        streams.append(stream)
    reset = 0
    for stream, hello in zip(list(streams), hellos):
        stream.settimeout(5)
        try:
            select.select([], [stream], [], 5)
            stream.sendall(hello)
        except OSError:
            reset += 1
            streams.remove(stream)
    result = outcomes(streams, 10)
    result["reset"] += reset
    return result


def outcomes(streams, seconds):
    """Answered with a flight, closed, reset, or silent for so long."""
    result = dict.fromkeys(("answered", "closed", "reset", "silent"), 0)
    poll = select.epoll()
    by_number = {stream.fileno(): stream for stream in streams}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    deadline = time.monotonic() + seconds
    while by_number and time.monotonic() < deadline:
        for number, _ in poll.poll(0.2):
            stream = by_number.pop(number)
            poll.unregister(number)
            try:
                data = stream.recv(65536)
                result["answered" if data[:1] == b"\x16" else "closed"] += 1
            except OSError:
                result["reset"] += 1
    result["silent"] = len(by_number)
    for stream in streams:
        stream.close()
    return result


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
    print("ready", flush=True)
    for line in sys.stdin:
        act, *rest = json.loads(line)
        try:
            answer = {"held": held, "burst": burst}[act](*rest)
        except Exception as error:  # noqa: BLE001  (told to who asked)
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
