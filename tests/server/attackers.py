"""A process that attacks a server in every way at once, each way from an address of its own, until it is killed."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

LARGE: Final = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
EVENTS: Final = 2_000


class AttackTarget:
    def __init__(self, port: int, application: dict[str, str]) -> None:
        self.port = port
        self.application = application

    def connect(self, source: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10, (source, 0))

    def call(self, source: str, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(source, 0))
        try:
            connection.request(method, path, body, headers)
            connection.getresponse().read()
        finally:
            connection.close()


def read_nothing(target: AttackTarget) -> None:
    """Requests a large file a hundred times and reads none of it."""
    with target.connect("127.0.1.1") as connection:
        connection.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 100)
        time.sleep(30)


def send_half(target: AttackTarget) -> None:
    with target.connect("127.0.1.2") as connection:
        connection.sendall(b"POST /analytics/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{")
        time.sleep(30)


def send_framing(target: AttackTarget) -> None:
    """Sends a body of chunk headers only, as fast as the server reads."""
    with target.connect("127.0.1.7") as connection:
        connection.sendall(b"POST /auth/token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1;a\r\n1\r\n" * 2_000)


def lie_idle(target: AttackTarget) -> None:
    """Holds 1,005 connections with half a head, or as many as the server accepts."""
    held = []
    for _ in range(1005):
        with suppress(OSError):
            held.append(target.connect("127.0.1.3"))
            held[-1].sendall(b"GET / HTTP/1.1\r\nHost: loc")
    time.sleep(20)
    for connection in held:
        connection.close()


def guess_passwords(target: AttackTarget) -> None:
    body = json.dumps({"username": uuid.uuid4().hex, "password": "guess"}).encode()
    target.call("127.0.1.4", "POST", "/auth/token", body, {"Content-Type": "application/json"})


def read_much(target: AttackTarget) -> None:
    now = int(time.time())
    path = f"/1/timeseries/{now - 30 * 86_400}/{now}/?aggregation=percentile_99&granularity=hour&group=url"
    headers = {"X-Auth-User": target.application["id"], "X-Auth-Key": target.application["readKey"]}
    target.call("127.0.1.5", "GET", path, None, headers)


def send_events(target: AttackTarget) -> None:
    headers = {
        "X-Auth-User": target.application["id"],
        "X-Auth-Key": target.application["writeKey"],
        "Content-Type": "application/json",
    }
    target.call("127.0.1.6", "POST", "/1/event/", events(EVENTS), headers)


def events(count: int) -> bytes:
    now = int(time.time())
    made: list[dict[str, Any]] = [
        {
            "timestamp": now - number,
            "consumer_id": "",
            "method": "GET",
            "url": f"/a/{number % 50}?page={number}",
            "function": "",
            "response_us": number,
            "status_code": 200,
        }
        for number in range(count)
    ]
    return json.dumps(made).encode()


ATTACKS: Final[tuple[tuple[Callable[[AttackTarget], None], int], ...]] = (
    (read_nothing, 50),
    (send_half, 60),
    (send_framing, 20),
    (lie_idle, 1),
    (guess_passwords, 40),
    (read_much, 30),
    (send_events, 40),
)


def repeat(attack: Callable[[AttackTarget], None], target: AttackTarget) -> None:
    while True:
        with suppress(OSError, HTTPException):
            attack(target)


def main() -> None:
    target = AttackTarget(**json.loads(sys.argv[1]))
    for attack, times in ATTACKS:
        for _ in range(times):
            threading.Thread(target=repeat, args=(attack, target), daemon=True).start()
    sys.stdout.write("attacking\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
