"""Clients that push and read without a pause, and keep a record of what was acknowledged to them."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import Any, Final

from tests.serving import Server

ROWS: Final = 50
PUSHERS: Final = 6
READERS: Final = 6
PAUSE_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 15.0
LOGINS: Final = ("alice", "bob", "carol", "dave")
NO_ANSWER: Final = "no answer"
REPEATED: Final = ("429", "503", NO_ANSWER)
"""What a client repeats under the same key, as docs/ingest.md tells it to."""


@dataclass(frozen=True, slots=True)
class Call:
    kind: str
    web: int
    started: float
    ended: float
    outcome: str

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def is_good(self) -> bool:
        return self.outcome in ("200", "204")


@dataclass
class Customer:
    """What was acknowledged to the clients as durable."""

    rows: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    carried: Counter[str] = field(default_factory=Counter)

    def add(self, other: Customer) -> None:
        self.rows += other.rows
        self.requests += other.requests
        self.carried += other.carried


@dataclass(frozen=True)
class Batch:
    path: str
    body: bytes
    account: Customer


class Load:
    """Runs from its creation until it is finished; every push is repeated until it is acknowledged."""

    def __init__(self, web: list[Server], domain: str) -> None:
        self.domain = domain
        self.calls: list[Call] = []
        self.account = Customer()
        self._web = web
        self._lock = threading.Lock()
        self._over = threading.Event()
        tasks: list[Callable[[int], None]] = [*[self._push] * PUSHERS, *[self._read] * READERS, *[self._probe] * 2]
        self._threads = [threading.Thread(target=task, args=(n,), daemon=True) for n, task in enumerate(tasks)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> Customer:
        self._over.set()
        for thread in self._threads:
            thread.join(240)
            assert not thread.is_alive(), "a push was never acknowledged"
        return self.account

    def is_served_since(self, moment: float) -> bool:
        """Whether every process has answered a push, a read and a probe that was sent after this moment."""
        served = {(call.kind, call.web) for call in self.calls if call.is_good and call.started > moment}
        return served >= {(kind, web) for kind in ("push", "read", "probe") for web in range(len(self._web))}

    def _push(self, number: int) -> None:
        dice = random.Random(number)
        for turn in count():
            batch = make_batch(dice, [self.domain])
            headers = {
                "x-api-key": self._web[0].keys["INGEST_KEY"],
                "Idempotency-Key": f"{self.domain} {number} {turn}",
            }
            for attempt in count():
                if self._call("push", number + turn + attempt, "POST", batch.path, batch.body, headers) == "204":
                    break
                time.sleep(PAUSE_SECONDS)
            with self._lock:
                self.account.add(batch.account)
            if self._over.wait(PAUSE_SECONDS):
                return

    def _read(self, number: int) -> None:
        today = datetime.now(UTC).date()
        paths = (f"/analytics/requests?from={today - timedelta(days=1)}&to={today}", "/geo/counts")
        headers = {"x-api-key": self._web[0].keys["READ_KEY"]}
        for turn in count():
            self._call("read", number, "GET", paths[turn % len(paths)], None, headers)
            if self._over.wait(PAUSE_SECONDS):
                return

    def _probe(self, number: int) -> None:
        """A liveness probe, which depends on no store."""
        while not self._over.wait(PAUSE_SECONDS):
            self._call("probe", number, "GET", "/healthz", None, {})

    def _call(self, kind: str, number: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> str:
        web = number % len(self._web)
        started = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self._web[web].port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            outcome = str(answer.status)
        except (OSError, HTTPException):
            outcome = NO_ANSWER
        finally:
            connection.close()
        self.calls.append(Call(kind, web, started, time.monotonic(), outcome))
        return outcome


@contextmanager
def loaded(web: list[Server], domain: str) -> Iterator[Load]:
    load = Load(web, domain)
    try:
        yield load
    finally:
        load._over.set()


def make_batch(dice: random.Random, domains: Sequence[str], size: int = ROWS) -> Batch:
    """Rows of all customers: two batches in three are aggregated by the minute, one has single requests."""
    is_log = not dice.randrange(3)
    account = Customer(rows=Counter({"log" if is_log else "traffic": size}))
    rows = []
    for _ in range(size):
        login, domain = dice.choice(LOGINS), dice.choice(domains)
        requests, sent, received = 1 if is_log else dice.randrange(1, 60), dice.randrange(1000), dice.randrange(9000)
        account.requests[login] += requests
        account.carried[login] += sent + received
        row = _log_row if is_log else _traffic_row
        rows.append(row(login, domain, requests, sent, received))
    path = "/log/ingest" if is_log else "/analytics/ingest"
    return Batch(path, json.dumps({"logs": rows}).encode(), account)


def _traffic_row(login: str, domain: str, requests: int, sent: int, received: int) -> dict[str, Any]:
    row = {"ts": _hour_ago(), "proxy_user": login, "domain": domain, "count": requests}
    return {**row, "bytes_sent": sent, "bytes_received": received}


def _log_row(login: str, domain: str, requests: int, sent: int, received: int) -> dict[str, Any]:
    row = {"log_request_datetime": _hour_ago(), "proxy_user_id": login, "log_hostname": domain}
    return {**row, "log_bytes_sent": sent, "log_bytes_received": received}


def _hour_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
