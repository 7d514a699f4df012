#!/usr/bin/env python3
"""Sends a monitor hostile requests: for scripts/monitor_attack.sh, or by hand.

    scripts/monitor_attack.py PORT REQUESTS

Sends REQUESTS requests to PORT of this machine: good ones, garbage, huge headers, bodies, foreign
hosts, some cut off midway. Meanwhile slow connections drip bytes and silent ones hold places. Ends
early when the monitor is gone. Prints one JSON object: how many of each were sent, and the answers.
"""

import collections
import json
import random
import socket
import sys
import threading
import time

HOST = b"Host: localhost\r\n"
KINDS = {
    "page": b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "status": b"GET /status HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "metrics": b"GET /metrics HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "absent": b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "post": b"POST /status HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000,
    "garbage": bytes(random.Random(1).randrange(256) for _ in range(600)) + b"\r\n\r\n",
    "huge_header": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 100000 + b"\r\n\r\n",
    "long_target": b"GET /" + b"a" * 7000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "foreign_host": b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "old_version": b"GET / HTTP/3.7\r\n" + HOST + b"\r\n",
    "midway": b"GET /sta",
    "leaves": b"GET /status HTTP/1.1\r\n" + HOST + b"\r\n",
}
# The right answer to each kind. A connection without a place gets 503, or no answer.
WANTED = {"page": "200", "status": "200", "metrics": "200", "absent": "404", "post": "405", "garbage": "400",
          "huge_header": "431", "long_target": "414", "foreign_host": "421", "old_version": "505"}

port, requests = int(sys.argv[1]), int(sys.argv[2])
sent, answers, wrong = collections.Counter(), collections.Counter(), collections.Counter()
lock = threading.Lock()
gone = threading.Event()


def connect():
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=20)
    except OSError:
        gone.set()
        return None


def ask(kind):
    connection = connect()
    if connection is None:
        return
    with connection:
        answer = b""
        try:
            connection.sendall(KINDS[kind])
            if kind in WANTED:
                while part := connection.recv(65536):
                    answer += part
        except OSError:
            pass
    status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "none"
    with lock:
        sent[kind] += 1
        if kind in WANTED:
            answers[status] += 1
            if status not in (WANTED[kind], "503", "none"):
                wrong[f"{kind} got {status}"] += 1


def hammer(count, seed):
    chance = random.Random(seed)
    kinds = list(KINDS)
    for _ in range(count):
        if gone.is_set():
            return
        ask(chance.choice(kinds))


def drip(stop):
    """Slow-loris: a request that never ends, byte by byte, again and again."""
    while not stop.is_set() and not gone.is_set():
        connection = connect()
        if connection is None:
            return
        with connection:
            try:
                connection.sendall(b"GET / HTTP/1.1\r\n")
                while not stop.wait(0.5):
                    connection.sendall(b"X")
                    sent["dripped_byte"] += 1
            except OSError:
                sent["dripper_cut"] += 1


def main():
    stop = threading.Event()
    begin = time.monotonic()
    # Silent and dripping connections are more than the server has places.
    silent = [connection for connection in (connect() for _ in range(40)) if connection]
    drips = [threading.Thread(target=drip, args=(stop,), daemon=True) for _ in range(20)]
    hammers = [threading.Thread(target=hammer, args=(requests // 8, seed)) for seed in range(8)]
    for thread in drips + hammers:
        thread.start()
    for thread in hammers:
        thread.join()
    stop.set()
    for connection in silent:
        connection.close()
    print(json.dumps({"seconds": round(time.monotonic() - begin, 1), "sent": dict(sent), "answers": dict(answers),
                      "wrong": dict(wrong)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
