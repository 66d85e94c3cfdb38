"""Many gateways push at once, with and without waiting for their rows: none is refused, and every row counts once."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from analytics.ingest.service import prefers_async
from tests.server.refusals import assert_error
from tests.serving import Server, body_of, row

GATEWAYS = 64
PATIENCE_SECONDS = 60
ASYNC = "respond-async"


def push_at_once(server: Server, body: bytes, name: str, **headers: str) -> list[int]:
    """The statuses of one push per gateway, each on a connection of its own, all started together."""
    together = threading.Barrier(GATEWAYS)

    def push(number: int) -> int:
        together.wait(PATIENCE_SECONDS)
        return server.post(body, Idempotency_Key=f"{name} {number}", **headers).status

    with ThreadPoolExecutor(GATEWAYS) as pool:
        return list(pool.map(push, range(GATEWAYS)))


def wait_until_counted(server: Server, domain: str, requests: int) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.requests_of_alice(domain) < requests and time.monotonic() < deadline:
        time.sleep(0.1)
    return server.requests_of_alice(domain)


def test_64_gateways_at_once_are_all_answered_and_their_rows_are_readable(server: Server) -> None:
    domain = f"{uuid.uuid4().hex}.example"
    body = body_of(*[row(domain=domain)] * 10)
    assert push_at_once(server, body, domain) == [204] * GATEWAYS
    assert server.requests_of_alice(domain) == GATEWAYS * 10
    assert push_at_once(server, body, domain) == [204] * GATEWAYS
    assert server.requests_of_alice(domain) == GATEWAYS * 10


def test_pushes_without_waiting_are_all_answered_and_become_readable(server: Server) -> None:
    domain = f"{uuid.uuid4().hex}.example"
    body = body_of(*[row(domain=domain)] * 10)
    assert push_at_once(server, body, domain, Prefer=ASYNC) == [204] * GATEWAYS
    assert push_at_once(server, body, domain, Prefer=ASYNC) == [204] * GATEWAYS
    assert wait_until_counted(server, domain, GATEWAYS * 10) == GATEWAYS * 10


def test_the_preference_applied_header_reports_the_outcome(server: Server) -> None:
    domain, key = f"{uuid.uuid4().hex}.example", uuid.uuid4().hex
    body = body_of(row(domain=domain))
    first = server.post(body, Idempotency_Key=key, Prefer=ASYNC)
    assert (first.status, first.headers["Preference-Applied"]) == (204, ASYNC)
    waited_for = server.post(body, Idempotency_Key=key)  # a repeat that waits finds the rows
    assert (waited_for.status, waited_for.headers["Preference-Applied"]) == (204, None)
    assert server.requests_of_alice(domain) == 1


def test_a_conflict_and_a_bad_row_are_answered_at_once_even_without_waiting(server: Server) -> None:
    key = uuid.uuid4().hex
    assert_error(server.post(body_of(row(count=-1)), Idempotency_Key=key, Prefer=ASYNC), 400)
    assert server.post(body_of(row()), Idempotency_Key=key, Prefer=ASYNC).status == 204
    assert_error(server.post(body_of(row(count=2)), Idempotency_Key=key, Prefer=ASYNC), 409)


def test_rows_pushed_without_waiting_survive_the_end_of_the_process(server: Server) -> None:
    domain = f"{uuid.uuid4().hex}.example"
    for number in range(5):
        assert server.push(row(domain=domain), Idempotency_Key=f"{domain} {number}", Prefer=ASYNC).status == 204
    server.kill()
    server.start()
    assert server.requests_of_alice(domain) == 5


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("respond-async", True),
        ("wait=10, Respond-Async", True),
        ("respond-async; wait=10", True),
        ("return=minimal", False),
        ("respond-async-later", False),
    ],
)
def test_the_prefer_header_is_parsed_as_in_rfc_7240(header: str, expected: bool) -> None:
    assert prefers_async(header) is expected
