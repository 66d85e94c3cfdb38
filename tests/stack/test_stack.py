"""The rules that must hold across the production processes.

Run by ``make stack``: some tests wait for beat's minute.
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests import clickhouse, postgres, redis
from tests.serving import ROOT, Server, row
from tests.stack import topology
from tests.stack.topology import Stack

pytestmark = pytest.mark.stack
# About jobs and threads within the single process of the small installation, on its SQLite.
ONE_PROCESS = (
    "--deselect",
    "tests/geo/test_processes.py",
    "--deselect",
    "tests/analytics/traffic/test_concurrent_ingest.py",
)
SUITES = ("tests/contract", "tests/analytics", "tests/geo", "tests/accounts")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with topology.running() as running:
        yield running


def wait_for(what: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.2)


class Browser:
    """A member of staff in the admin of one web process."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.post("/sign-in?next=/admin/", username="admin", password=server.keys["PASSWORD"])

    def post(self, path: str, **fields: str) -> str:
        self.opener.open(f"{self.server.url}{path}").read()
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": token or "", **fields}).encode()
        page: bytes = self.opener.open(f"{self.server.url}{path}", body).read()
        return page.decode()


def test_a_multiplier_saved_in_one_web_process_shows_in_the_next_answer_of_the_other(stack: Stack) -> None:
    first, second = stack.web

    def count() -> int:
        counts = second.call("GET", "/geo/counts?type=residential-giga").json["counts"]
        return int(counts["residential-giga"]["default"]["provider-api"]["US"]) if counts else 0

    wait_for(count, 30)  # the first refresh
    before = count()
    fields = {"proxy_type": "residential-giga", "pool": "default", "country": "US", "factor": "2", "confirmed": "yes"}
    Browser(first).post("/admin/geo/multiplier/add/", **fields)
    assert count() == 2 * before


def test_an_alert_is_evaluated_by_beat_run_by_a_worker_and_mailed(stack: Stack) -> None:
    first, second = stack.web
    token = first.call(
        "POST",
        "/auth/token",
        json.dumps({"username": "alice", "password": first.keys["PASSWORD"]}).encode(),
        Content_Type="application/json",
    ).json["access"]
    bearer = f"Bearer {token}"
    subscriptions = second.call("GET", "/api/v1/subscriptions", Authorization=bearer).json["data"]
    [residential] = [one for one in subscriptions if one["product"]["type"] == "residential"]
    alert = {"subscription_id": residential["id"], "threshold_percent": 2, "notification_method": "email"}
    body = json.dumps(alert).encode()
    made = second.call("POST", "/api/v1/usage/alerts", body, Authorization=bearer, Content_Type="application/json")
    assert made.status == 201, made.body
    assert first.push(row(bytes_received=3 * 2**30)).status == 204
    wait_for(lambda: stack.mailbox.mails, 100)
    [mail] = stack.mailbox.mails
    assert mail["To"] == "alice@example.com"
    assert "Residential 100 GB has used 3 %" in str(mail["Subject"])


def test_batches_of_a_killed_web_process_are_finished_by_its_peers_and_count_once(stack: Stack) -> None:
    first, second = stack.web
    before = second.requests_of_alice("killed.example")
    os.kill(stack.endpoint.process.pid, signal.SIGSTOP)
    pushing = threading.Thread(target=_push_and_be_cut, args=(first,))
    pushing.start()
    time.sleep(2)
    assert first.stop(signal.SIGKILL).code == -signal.SIGKILL
    pushing.join()
    os.kill(stack.endpoint.process.pid, signal.SIGCONT)
    wait_for(lambda: second.requests_of_alice("killed.example") > before, 120)
    time.sleep(5)  # a second delivery would show
    assert second.requests_of_alice("killed.example") == before + 7


def _push_and_be_cut(server: Server) -> None:
    with pytest.raises(OSError):
        server.push(row(domain="killed.example", count=7))


def test_the_api_suites_pass_on_the_production_services() -> None:
    with (
        postgres.running(postgres.required_programs()) as port,
        redis.running() as cache,
        clickhouse.running() as endpoint,
    ):
        outcome = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "--no-header", *SUITES, *ONE_PROCESS],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres",
                "REDIS_URL": cache.url(),
                "CLICKHOUSE_URL": endpoint.url,
            },
            capture_output=True,
            text=True,
        )
    assert outcome.returncode == 0, outcome.stdout[-5000:]
