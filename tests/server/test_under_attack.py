"""Every attack at once for two minutes, while another customer's reads, a worker's pushes and probes continue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tests.server.attackers import events
from tests.serving import ROOT, Server, body_of, row, serving

SECONDS: Final = int(os.environ.get("ATTACK_SECONDS", "120"))
PAUSE_SECONDS: Final = 0.1
JSON: Final = {"Content_Type": "application/json"}


@contextmanager
def attacked(server: Server, application: dict[str, str]) -> Iterator[None]:
    target = json.dumps({"port": server.port, "application": application})
    command = [sys.executable, "-m", "tests.server.attackers", target]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as attackers:
        try:
            assert attackers.stdout is not None
            assert attackers.stdout.readline() == b"attacking\n"
            yield
        finally:
            attackers.kill()


class Calls:
    """Repeats a call; records each answer and how long it took."""

    def __init__(self, call: Callable[[], int]) -> None:
        self.answers: list[tuple[int, float]] = []
        self._call = call
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            started = time.monotonic()
            try:
                status = self._call()
            except OSError:
                status = 0
            self.answers.append((status, time.monotonic() - started))

    def finish(self) -> None:
        self._over.set()
        self._thread.join(60)

    @property
    def statuses(self) -> set[int]:
        return {status for status, _ in self.answers}

    def percentile(self, percent: int) -> float:
        times = sorted(seconds for _, seconds in self.answers)
        return times[min(len(times) - 1, len(times) * percent // 100)]


def token_of(server: Server, name: str) -> str:
    body = json.dumps({"username": name, "password": server.keys["PASSWORD"]}).encode()
    answer = server.call("POST", "/auth/token", body, **JSON)
    assert answer.status == 200, answer.body
    return f"Bearer {answer.json['access']}"


def application_of(server: Server, token: str) -> dict[str, str]:
    answer = server.call("POST", "/applications", b'{"name":"attacker"}', Authorization=token, **JSON)
    assert answer.status == 201, answer.body
    made: dict[str, str] = answer.json["application"]
    return {name: made[name] for name in ("id", "readKey", "writeKey")}


@pytest.mark.torture
def test_no_attack_holds_up_other_customers_workers_or_probes() -> None:
    with serving(FONPROXY_THROTTLE_READ="1000000/min", FONPROXY_LOG_LEVEL="WARNING") as server:
        application = application_of(server, token_of(server, "alice"))
        headers: dict[str, Any] = {"X_Auth_User": application["id"], "X_Auth_Key": application["writeKey"], **JSON}
        for _ in range(10):
            assert server.call("POST", "/1/event/", events(10_000), **headers).status == 200
        bob = token_of(server, "bob")
        today = datetime.now(UTC).date()
        read = f"/analytics/traffic?from={today - timedelta(days=7)}&to={today}"
        with attacked(server, application):
            reads = Calls(lambda: server.call("GET", read, Authorization=bob).status)
            pushes = Calls(lambda: server.post(body_of(*[row()] * 100)).status)
            probes = Calls(lambda: server.call("GET", "/healthz").status)
            time.sleep(SECONDS)  # the length of the attack, not a wait for something
            for calls in (reads, pushes, probes):
                calls.finish()
    found = {
        name: (len(calls.answers), calls.statuses, round(calls.percentile(50), 2), round(calls.percentile(99), 2))
        for name, calls in (("reads", reads), ("pushes", pushes), ("probes", probes))
    }
    assert (reads.statuses, pushes.statuses, probes.statuses) == ({200}, {204}, {200}), found
    assert reads.percentile(99) < 2, found
    assert probes.percentile(100) < 1, found
    print(found)  # noqa: T201  # with -s, for the record
