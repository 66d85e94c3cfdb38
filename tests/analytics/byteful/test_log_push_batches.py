"""Small pushes to ``/log/ingest`` stored together: the rows they store alone, and none that the view must refuse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from analytics.byteful.log import push_batches
from analytics.ingest import lists
from analytics.models import IngestBatch, InsertBlock
from fonproxy.clickhouse.client import Client
from tests.analytics.byteful.log_pushes import TIME, body_of, request
from tests.analytics.helpers import TABLES, counted
from tests.analytics.pushing import accepted, environ_of

MakeKey = Callable[..., str]
pytestmark = pytest.mark.django_db(transaction=True)
FILLED = (*TABLES, "requests")


def environ(key: str, *rows: dict[str, Any], **headers: str) -> dict[str, Any]:
    return environ_of(body_of(*rows), key, **headers)


def accept(*environs: dict[str, Any]) -> list[bool]:
    return accepted(push_batches.accept(environs))


def rows_in(engine: Client) -> dict[str, list[Any]]:
    """The rows of every table, without ids, which are new each time, and without the time of ingest."""
    columns = engine.fetch(
        "SELECT table, groupArray(name) FROM system.columns WHERE database = currentDatabase() AND name NOT IN"
        " ('log_id', 'taken_at') GROUP BY table",
        {},
        tag="tests",
    )
    return {
        table: list(engine.fetch(f"SELECT {', '.join(names)} FROM {table} ORDER BY ALL", {}, tag="tests"))
        for table, names in columns
        if table in FILLED
    }


def test_pushes_stored_together_are_readable_as_one_block(sending: Client, key: str) -> None:
    assert accept(*(environ(key, request(), request()) for _ in range(5))) == [True] * 5
    assert {table: counted(sending, table) for table in FILLED} == dict.fromkeys(FILLED, (10, 10))
    assert list(IngestBatch.objects.values_list("route", "rows")) == [("log", 2)] * 5
    assert InsertBlock.objects.count() == 1


def test_they_store_the_same_rows_as_the_view(sending: Client, key: str) -> None:
    day = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    pushes = [
        [request(log_hostname="A.example.", country_id="us", log_bytes_sent=1, log_bytes_received=2)],
        [request(log_total_bytes=9), request(log_total_bytes=9, log_bytes_sent=4), request(user_id=77, order_id=78)],
        [request(log_egress_ip_address="2001:DB8::1", log_client_ip_address="::ffff:192.0.2.1", log_local_port=0)],
        [request(log_total_elapsed_ms=None, log_concurrency=0, log_authentication_type=None, log_protocol=None)],
        [request(**{TIME: (day - timedelta(days=6, milliseconds=1)).isoformat()}, log_error="timeout", unknown=[1])],
        [request(**{TIME: (day - timedelta(milliseconds=1)).isoformat()}), request(log_id="mine", asn_id=3320)],
    ]
    for rows in pushes:
        answer = APIClient(headers={"x-api-key": key}).post(
            "/log/ingest", body_of(*rows), content_type="application/json"
        )
        assert answer.status_code == 204, answer.content
    alone = rows_in(sending)
    assert set(alone) == set(FILLED)
    assert all(alone.values())
    for table in FILLED:
        sending.command(f"TRUNCATE TABLE {table}", tag="tests")
    assert accept(*(environ(key, *rows) for rows in pushes)) == [True] * len(pushes)
    assert rows_in(sending) == alone


def test_every_request_has_an_id_of_its_own(sending: Client, key: str) -> None:
    assert accept(*(environ(key, *[request()] * 20) for _ in range(5))) == [True] * 5
    assert sending.fetch("SELECT uniqExact(log_id) FROM requests", {}, tag="tests") == [(100,)]


@pytest.mark.parametrize(
    "changes",
    [
        {"country_id": "123"},
        {"log_egress_ip_address": "nowhere"},
        {TIME: (timezone.now() - timedelta(days=8)).isoformat()},
        {"proxy_user_id": "unknown"},
        {"log_protocol": "ftp"},
        {"log_status_code": 1000},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_bad_push_is_left_to_the_view_and_the_others_are_stored(
    sending: Client, key: str, changes: dict[str, Any]
) -> None:
    pushes = [environ(key, request()), environ(key, request(), request(**changes)), environ(key, request())]
    assert accept(*pushes) == [True, False, True]
    assert counted(sending, "requests") == (2, 2)


def test_pushes_of_many_rows_are_left_to_the_view(sending: Client, key: str) -> None:
    assert accept(environ(key, *[request()] * (lists.MAX_ROWS + 1))) == [False]


def test_a_used_idempotency_key_is_left_to_the_view(sending: Client, key: str) -> None:
    again = {"HTTP_IDEMPOTENCY_KEY": "once"}
    assert accept(environ(key, request(), **again)) == [True]
    assert accept(environ(key, request(), **again), environ(key, request(log_error="x"), **again)) == [False] * 2
    assert counted(sending, "requests") == (1, 1)


@pytest.mark.parametrize("half", ["PUBLIC", "PRIVATE"])
def test_half_a_pair_of_keys_is_left_to_the_view(sending: Client, key: str, half: str) -> None:
    assert accept(environ(key, request(), **{f"HTTP_X_API_{half}_KEY": key})) == [False]
    assert IngestBatch.objects.count() == 0
