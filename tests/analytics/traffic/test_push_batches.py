"""Small pushes stored together: the same rows as alone, and nothing of a push that the view must answer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from analytics.ingest import lists
from analytics.ingest.flusher import flusher
from analytics.ingest.group_commit import GroupCommit
from analytics.models import IngestBatch, InsertBlock
from analytics.traffic import push_batches
from fonproxy.clickhouse.client import Client
from fonproxy.server.batches import Handled
from tests.analytics.helpers import TABLES, body_of, counted, documented_row, engine_unavailable, post, recently
from tests.analytics.pushing import accepted, environ_of

MakeKey = Callable[..., str]
pytestmark = pytest.mark.django_db(transaction=True)


def environ(key: str | None, *rows: dict[str, Any], body: bytes | None = None, **headers: str) -> dict[str, Any]:
    return environ_of(body_of(list(rows)) if body is None else body, key, **headers)


def accept(*environs: dict[str, Any]) -> list[bool]:
    return accepted(push_batches.accept(environs))


def rows_in(engine: Client) -> dict[str, list[Any]]:
    return {table: list(engine.fetch(f"SELECT * FROM {table} ORDER BY ALL", {}, tag="tests")) for table in TABLES}


def test_pushes_stored_together_are_readable_as_one_block(sending: Client, key: str) -> None:
    assert accept(*(environ(key, documented_row()) for _ in range(5))) == [True] * 5
    assert {table: counted(sending, table) for table in TABLES} == dict.fromkeys(TABLES, (5, 60))
    assert (IngestBatch.objects.filter(is_void=False).count(), InsertBlock.objects.count()) == (5, 1)


def test_they_store_the_same_rows_as_the_view(sending: Client, worker: User, key: str) -> None:
    pushes = [
        [documented_row(domain="A.example.", country="us", count=1)],
        [documented_row(ip_out="2001:db8::1", port=0), documented_row(user_id=77, order_id=78, count=3)],
        [documented_row(ts=(timezone.now() - timedelta(days=40)).isoformat(), bytes_sent=7)],
        [documented_row(ts=recently().isoformat().replace("+00:00", "+05:30"), domain="b.example", unknown=[1, 2])],
    ]
    client = APIClient(headers={"x-api-key": key})
    for rows in pushes:
        assert post(client, body_of(rows)).status_code == 204
    alone = rows_in(sending)
    for table in TABLES:
        sending.command(f"TRUNCATE TABLE {table}", tag="tests")
    assert accept(*(environ(key, *rows) for rows in pushes)) == [True] * 4
    assert rows_in(sending) == alone


def test_a_bearer_and_an_x_api_key_are_both_credentials_and_the_latter_decides(sending: Client, key: str) -> None:
    bearer = environ(None, documented_row(), HTTP_AUTHORIZATION=f"Bearer {key}")
    both = environ("fnp_wrong", documented_row(), HTTP_AUTHORIZATION=f"Bearer {key}")
    assert accept(bearer, both, environ(None, documented_row())) == [True, False, False]


def test_each_push_is_stored_for_its_own_account(sending: Client, worker: User, make_key: MakeKey) -> None:
    other = User.objects.create_user("other worker")
    keys = [make_key(user, ("ingest",)) for user in (worker, other, worker)]
    assert accept(*(environ(key, documented_row(), HTTP_IDEMPOTENCY_KEY="same") for key in keys)) == [True, True, False]
    assert list(IngestBatch.objects.order_by("id").values_list("account_id", "key")) == [
        (worker.pk, "same"),
        (other.pk, "same"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"can_ingest": False, "can_read": True},
    ],
    ids=["revoked", "expired", "without the scope"],
)
def test_a_key_that_may_not_push_is_left_to_the_view(
    sending: Client, worker: User, key: str, make_key: MakeKey, change: dict[str, Any]
) -> None:
    bad = make_key(worker, ("ingest",))
    ApiKey.objects.filter(prefix=bad[: len(ApiKey.objects.latest("id").prefix)]).update(**change)
    assert accept(environ(bad, documented_row()), environ(key, documented_row())) == [False, True]
    assert counted(sending, "traffic") == (1, 12)


def test_the_key_of_an_inactive_account_is_left_to_the_view(sending: Client, worker: User, key: str) -> None:
    User.objects.filter(pk=worker.pk).update(is_active=False)
    assert accept(environ(key, documented_row())) == [False]
    assert IngestBatch.objects.count() == 0


@pytest.mark.parametrize(
    "odd",
    [
        {"body": b"not JSON"},
        {"body": b'{"logs": []}'},
        {"body": body_of([documented_row()])[:-1] + b', "logs": []}'},
        {"body": body_of([documented_row()])[:-1] + b', "logs": ' + json.dumps([documented_row()]).encode() + b"}"},
        {"body": body_of([documented_row(country="123")])},
        {"body": body_of([documented_row(ip_out="nowhere")])},
        {"body": body_of([documented_row(ts="2001-01-01 00:00:00")])},
        {"body": body_of([documented_row(), documented_row(proxy_user="unknown")])},
        {"body": body_of([documented_row()] * (lists.MAX_ROWS + 1))},
        {"body": gzip.compress(body_of([documented_row()])), "HTTP_CONTENT_ENCODING": "gzip"},
        {"HTTP_IDEMPOTENCY_KEY": ""},
        {"HTTP_IDEMPOTENCY_KEY": "\u00e9"},
    ],
)
def test_an_unusual_push_is_left_to_the_view_and_the_others_are_stored(
    sending: Client, key: str, odd: dict[str, Any]
) -> None:
    sent = environ(key, documented_row(), **odd)
    assert accept(environ(key, documented_row()), sent, environ(key, documented_row(count=1))) == [True, False, True]
    assert counted(sending, "traffic") == (2, 13)


def test_a_used_idempotency_key_is_left_to_the_view_which_knows_the_first(sending: Client, key: str) -> None:
    again: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": "once"}
    assert accept(environ(key, documented_row(), **again)) == [True]
    assert (
        accept(environ(key, documented_row(), **again), environ(key, documented_row(count=1), **again)) == [False] * 2
    )
    assert counted(sending, "traffic") == (1, 12)


def test_a_full_journal_leaves_pushes_to_the_view(sending: Client, key: str, settings: Any) -> None:
    settings.JOURNAL_MAX_ROWS = 0
    assert accept(environ(key, documented_row())) == [False]
    assert IngestBatch.objects.count() == 0


def test_without_an_engine_or_a_sending_thread_pushes_are_left_to_the_view(sending: Client, key: str) -> None:
    with engine_unavailable():
        assert accept(environ(key, documented_row())) == [True]  # notices, and leaves it to replay
        assert accept(environ(key, documented_row())) == [False]
    flusher._unavailable_until = 0.0
    flusher.stop()
    assert accept(environ(key, documented_row())) == [False]
    assert IngestBatch.objects.count() == 1


def test_a_push_that_need_not_wait_is_answered_at_once(
    sending: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.ingest.flusher.LATER_SECONDS", 3600.0)
    pushes = [environ(key, documented_row(), HTTP_PREFER="respond-async"), environ(key, documented_row())]
    [at_once, waits] = push_batches.accept(pushes[:1]) + push_batches.accept(pushes[1:])
    assert isinstance(at_once, Handled)
    assert isinstance(waits, Handled)
    assert at_once.wait is None
    assert waits.wait is not None
    waits.wait()
    assert counted(sending, "traffic") == (2, 24)  # one block contains both


def test_what_fails_before_anything_is_stored_is_left_to_the_view_where_others_do_not_fail_with_it(
    sending: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    for step in ("find_active_keys", "PushBatches._sound", "PushBatches._arrival"):
        with monkeypatch.context() as patch:
            patch.setattr(f"analytics.ingest.push_batches.{step}", fail)
            assert accept(environ(key, documented_row()), environ(key, documented_row())) == [False, False]
    assert IngestBatch.objects.count() == 0


def test_an_error_of_the_store_is_raised_and_stores_nothing(
    sending: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(GroupCommit, "record_all", fail)
        with pytest.raises(OperationalError):
            push_batches.accept([environ(key, documented_row())])
    assert accept(environ(key, documented_row())) == [True]
    assert counted(sending, "traffic") == (1, 12)


def test_the_use_of_each_key_is_recorded(sending: Client, key: str, worker: User) -> None:
    accept(environ(key, documented_row()))
    assert ApiKey.objects.get(user=worker).last_access_at is not None
