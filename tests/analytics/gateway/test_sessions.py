"""Running connections: increases of their counters are counted once, whatever happens to the samples."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts import erasure
from accounts.audit_trail import Actor
from accounts.models import User
from accounts.services import issue_key
from analytics.gateway import sessions
from analytics.gateway.samples import KEPT, MAX_SAMPLES
from analytics.ingest import journal
from analytics.ingest.flusher import flusher
from analytics.models import IngestBatch
from fonproxy.clickhouse.client import Client, get_client
from orders import ledger
from orders import services as order_services
from orders.models import SESSION_SILENCE, CutOff, Order, ProxySession
from tests.accounts.helpers import client_with
from tests.analytics.helpers import engine_unavailable
from tests.thoroughness import drawn, examples
from usage import metering

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture
def gateway(staff: User) -> APIClient:
    return client_with(issue_key(user=staff, name="gw", scopes=["gateway"], now=timezone.now())[1])


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, limit=1000, logins=("alice", "alice-2"))


def sample(received: int = 0, sent: int = 0, **changes: Any) -> dict[str, Any]:
    names = {"session": "s", "login": "alice", "worker": "w", "startedAt": START.isoformat()}
    return {**names, "bytesReceived": received, "bytesSent": sent, **changes}


def report(gateway: APIClient, *samples: dict[str, Any]) -> Any:
    body = json.dumps({"samples": samples})
    return gateway.post("/gateway/sessions", body, content_type="application/json")


def totals(engine: Client) -> tuple[int, int, int]:
    """Bytes sent, bytes received and requests."""
    [row] = engine.fetch("SELECT sum(bytes_sent), sum(bytes_received), sum(count) FROM order_traffic", tag="tests")
    return row


def test_a_running_connection_is_counted_while_it_runs(gateway: APIClient, order: Order, clean_engine: Client) -> None:
    assert report(gateway, sample(100, 10)).status_code == 204
    assert totals(clean_engine) == (10, 100, 1)
    report(gateway, sample(250, 10))
    assert totals(clean_engine) == (10, 250, 1)
    report(gateway, sample(300, 20, ended=True, requests=3))
    assert totals(clean_engine) == (20, 300, 3)
    session = ProxySession.objects.get()
    assert session.ended_at is not None


def test_repeated_and_overtaken_samples_add_nothing(gateway: APIClient, order: Order, clean_engine: Client) -> None:
    for received in (100, 100, 300, 200, 300, 100):
        assert report(gateway, sample(received)).status_code == 204
    assert totals(clean_engine) == (0, 300, 1)
    report(gateway, sample(300), sample(400), sample(350), sample(10, session="t"))
    assert totals(clean_engine) == (0, 410, 2)
    assert IngestBatch.objects.count() == 3  # samples that add nothing make no batch


def test_a_restarted_proxy_resets_its_counters(gateway: APIClient, order: Order, clean_engine: Client) -> None:
    later = (START + timedelta(minutes=5)).isoformat()
    report(gateway, sample(300))
    report(gateway, sample(50, startedAt=later))
    report(gateway, sample(310))  # overtaken by the restart
    assert totals(clean_engine) == (0, 360, 2)
    assert ProxySession.running(timezone.now(), "alice").count() == 1


def test_the_last_sample_adds_only_the_bytes_since_the_sample_before(
    gateway: APIClient, order: Order, clean_engine: Client
) -> None:
    report(gateway, sample(5_000, domain="a.example", ipFrom="192.0.2.1"))
    report(gateway, sample(15_000, 700, ended=True, domain="a.example", ipFrom="192.0.2.1"))
    rows = clean_engine.fetch(
        "SELECT domain, sum(bytes_sent), sum(bytes_received), sum(count) FROM traffic GROUP BY domain", tag="tests"
    )
    assert [tuple(row) for row in rows] == [("a.example", 700, 15_000, 1)]


def test_bytes_of_running_connections_count_against_the_order_and_cut_it_off(gateway: APIClient, order: Order) -> None:
    report(gateway, sample(900))
    metering.post_usage(timezone.now())
    assert ledger.balance(order) == 100
    report(gateway, sample(1001))
    metering.post_usage(timezone.now())
    assert ledger.balance(order) == -1
    assert CutOff.objects.get().state == "exhausted"
    answer = gateway.post("/gateway/authorize", {"login": "alice"}, format="json")
    assert answer.json() == {"allowed": False, "reason": "exhausted"}


def test_an_open_connection_of_a_deleted_login_still_counts_for_its_order(
    gateway: APIClient, order: Order, clean_engine: Client
) -> None:
    report(gateway, sample(100))
    order_services.set_logins(order, {"alice-2": {}}, timezone.now())
    assert report(gateway, sample(150)).status_code == 204
    assert totals(clean_engine) == (0, 150, 1)
    refused = report(gateway, sample(5, login="alice-2"), sample(5, session="new"))
    assert refused.status_code == 400
    assert [(e["field"], e["index"]) for e in refused.json()["errors"]] == [("login", 1)]
    assert totals(clean_engine) == (0, 150, 1)


def test_silent_sessions_end_and_late_samples_are_not_counted_again(
    gateway: APIClient, order: Order, clean_engine: Client
) -> None:
    report(gateway, sample(100))
    now = timezone.now()
    assert ProxySession.running(now, "alice").count() == 1
    assert ProxySession.running(now + SESSION_SILENCE, "alice").count() == 0
    assert sessions.forget(now + KEPT - timedelta(minutes=1)) == 0
    assert sessions.forget(now + KEPT + timedelta(minutes=1)) == 1
    old = (now - KEPT - timedelta(minutes=1)).isoformat()
    assert report(gateway, sample(100, startedAt=old)).json()["errors"][0]["field"] == "startedAt"


def test_samples_are_durable_while_the_engine_is_unavailable(
    gateway: APIClient, order: Order, clean_engine: Client
) -> None:
    with engine_unavailable():
        assert report(gateway, sample(100)).status_code == 204
        assert report(gateway, sample(250)).status_code == 204
    journal.release_claims(timezone.now())  # the delay after a failed attempt
    flusher.replay()
    assert totals(get_client()) == (0, 250, 1)


def test_with_a_full_journal_a_sample_is_refused_and_the_next_adds_all_bytes(
    gateway: APIClient, order: Order, clean_engine: Client, settings: Any
) -> None:
    settings.JOURNAL_MAX_ROWS = 0
    refused = report(gateway, sample(100))
    assert (refused.status_code, refused["Retry-After"]) == (503, "30")
    assert not ProxySession.objects.exists()
    settings.JOURNAL_MAX_ROWS = 10
    report(gateway, sample(150))
    assert totals(clean_engine) == (0, 150, 1)


def test_concurrency_is_the_orders_number_of_running_sessions(
    gateway: APIClient, order: Order, clean_engine: Client
) -> None:
    report(gateway, *(sample(10, session=str(n)) for n in range(3)))
    report(gateway, sample(20, session="0", ended=True))
    [(most,)] = clean_engine.fetch("SELECT max(max_concurrency) FROM traffic", tag="tests")
    assert most == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"session": ""}, "session"),
        ({"session": "x" * 129}, "session"),
        ({"session": "a\0"}, "session"),
        ({"login": ""}, "login"),
        ({"login": "nobody"}, "login"),
        ({"login": 1}, "login"),
        ({"worker": "x" * 256}, "worker"),
        ({"bytesSent": -1}, "bytesSent"),
        ({"bytesSent": "1"}, "bytesSent"),
        ({"bytesReceived": 2**44 + 1}, "bytesReceived"),
        ({"requests": True}, "requests"),
        ({"startedAt": "yesterday"}, "startedAt"),
        ({"startedAt": None}, "startedAt"),
        ({"startedAt": "2090-01-01T00:00:00Z"}, "startedAt"),
        ({"ipFrom": "192.0.2.300"}, "ipFrom"),
        ({"domain": "a\0"}, "domain"),
    ],
)
def test_a_bad_sample_is_named_and_nothing_is_stored(
    gateway: APIClient, order: Order, changes: dict[str, Any], field: str
) -> None:
    refused = report(gateway, sample(1), sample(1, **changes))
    assert refused.status_code == 400
    assert [(e["field"], e["index"]) for e in refused.json()["errors"]] == [(field, 1)]
    assert not ProxySession.objects.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"samples": 1}', b"{" * 5000, b"\xff", b'{"samples": [[]]}'])
def test_a_malformed_body_is_refused(gateway: APIClient, db: None, body: bytes) -> None:
    assert gateway.post("/gateway/sessions", body, content_type="application/json").status_code == 400


def test_samples_given_twice_are_refused(gateway: APIClient, order: Order) -> None:
    first, second = (json.dumps(sample(1, session=name)) for name in "ab")
    body = f'{{"samples":[{first}],"samples":[{second}]}}'
    answer = gateway.post("/gateway/sessions", body, content_type="application/json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "samples")
    assert not ProxySession.objects.exists()


def test_too_many_samples_are_refused_and_gzip_is_accepted(gateway: APIClient, order: Order) -> None:
    assert report(gateway, *[sample()] * (MAX_SAMPLES + 1)).status_code == 413
    body = gzip.compress(json.dumps({"samples": [sample(1)]}).encode())
    answer = gateway.post(
        "/gateway/sessions", body, content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 204


def test_an_erased_customers_sessions_are_gone(gateway: APIClient, order: Order, alice: User) -> None:
    report(gateway, sample(1))
    metering.post_usage(timezone.now())
    erasure.erase(alice, timezone.now(), Actor())
    assert not ProxySession.objects.exists()
    assert report(gateway, sample(2)).status_code == 400


Counters = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 3))
# Which session, which of its starts, and its counters: delivered in any order, any number of times.
Delivery = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1), Counters)


@drawn
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(bodies=st.lists(st.lists(Delivery, min_size=1, max_size=5), min_size=1, max_size=6))
def test_totals_equal_a_plain_model_under_repeats_reorderings_and_losses(
    gateway: APIClient, order: Order, clean_engine: Client, bodies: list[list[Any]]
) -> None:
    before = totals(clean_engine)
    ProxySession.objects.all().delete()
    model: dict[tuple[str, int], tuple[int, ...]] = {}
    flusher._unavailable_until = float("inf")  # all bodies of an example go to the engine at once
    for body in bodies:
        rows = []
        for session, epoch, counters in body:
            known = model.get((session, epoch), (0, 0, 0))
            model[session, epoch] = tuple(map(max, known, counters))
            started_at = (START + timedelta(minutes=epoch)).isoformat()
            sent, received, requests = counters
            rows.append(sample(received, sent, session=session, startedAt=started_at, requests=requests))
        assert report(gateway, *rows).status_code == 204
    flusher._unavailable_until = 0.0
    flusher.replay()
    expected = tuple(sum(column) for column in zip(*model.values(), strict=True))
    assert tuple(now - then for now, then in zip(totals(clean_engine), before, strict=True)) == expected
