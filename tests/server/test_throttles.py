"""Rate limits, set low enough to be reached."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.server.wire import RANGE, family_of
from tests.serving import Answer, Server, serving


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    limits = {
        f"FONPROXY_THROTTLE_{kind}": rate
        for kind, rate in (("READ", "5/min"), ("PUBLIC", "12/min"), ("TOKEN", "3/min"))
    }
    with serving(**limits) as running:
        yield running


def assert_throttled(answer: Answer) -> None:
    assert (answer.status, family_of(answer.json)) == (429, "fonproxy")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_reads_are_limited_by_account(strict_server: Server) -> None:
    read = [strict_server.get("/orders", X_Forwarded_For=f"192.0.2.{n}").status for n in range(5)]
    assert read == [200] * 5
    assert_throttled(strict_server.get("/orders"))
    assert_throttled(strict_server.get(f"/analytics/traffic?{RANGE}"))
    assert strict_server.call("GET", "/orders", x_api_key=strict_server.keys["INGEST_KEY"]).status == 403
    assert strict_server.post(b'{"logs":[]}').status == 204


def test_passwords_are_tried_a_few_times_by_name_and_a_few_more_by_address(strict_server: Server) -> None:
    def attempt(name: str) -> Answer:
        body = json.dumps({"username": name, "password": "guess"}).encode()
        forged = f"192.0.2.{len(name)}"
        return strict_server.call("POST", "/auth/token", body, Content_Type="application/json", X_Forwarded_For=forged)

    assert [attempt(name).status for name in ("alice", "Alice", "ALICE")] == [401] * 3
    assert_throttled(attempt("alice"))
    assert attempt("bob").status == 401
    assert_throttled([attempt("x" * n) for n in range(1, 9)][-1])
    assert_throttled(strict_server.call("GET", "/openapi.json"))
    assert strict_server.call("GET", "/healthz").status == 200
