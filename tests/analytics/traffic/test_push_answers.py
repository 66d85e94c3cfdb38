"""The web server, Django and the handler of small pushes at once: nobody can tell by which a push was stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.models import ApiKey, User
from analytics.traffic import push_batches
from fonproxy import instruments
from fonproxy.clickhouse.client import Client
from tests.analytics.helpers import body_of, counted, documented_row
from tests.analytics.pushing import PushServer

MakeKey = Callable[..., str]
pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/analytics/ingest"


@pytest.fixture
def running(sending: Client) -> Iterator[PushServer]:
    server = PushServer(push_batches.accept, lambda: body_of([documented_row()]), PATH)
    yield server
    server.stop()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Prefer: respond-async",),
        ("Accept: text/csv",),
        ("Accept: image/png",),
        ("Origin: https://shop.example",),
        ("Cookie: balancer=a",),
        ("Content-Type: application/x-www-form-urlencoded",),
        ("X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1"),
        ("Authorization: Basic abc",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_second_answer_is_the_first_byte_for_byte(
    running: PushServer, clean_engine: Client, key: str, headers: tuple[str, ...], version: str
) -> None:
    sent = ("Host: localhost", f"x-api-key: {key}", *headers)
    first, second = (running.ask(*sent, target=f"{PATH}?a=b", version=version) for _ in range(2))
    assert first.startswith(b"HTTP/1.1 204 ")
    assert second == first
    assert running.stored == [True]


def test_both_leave_the_same_line_in_the_log_and_the_same_counts(
    running: PushServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    def counts() -> tuple[float, ...]:
        times = instruments.HTTP_SECONDS.labels("POST", "analytics/ingest", 204)
        sizes = (part.labels("traffic") for part in (instruments.INGESTED_ROWS, instruments.INGESTED_BYTES))
        return sum(bucket.get() for bucket in times._buckets), *(size._value.get() for size in sizes)

    def of_a_push() -> tuple[list[float], dict[str, Any]]:
        caplog.clear()
        before = counts()
        running.ask("Host: localhost", f"x-api-key: {key}", "X-Request-Id: mine")
        [line] = [record for record in caplog.records if record.name == "fonproxy.access"]
        own = ("ms", "created", "msecs", "relativeCreated", "thread", "threadName", "taskName", "asctime")
        told = {name: value for name, value in vars(line).items() if name not in own}
        return [after - earlier for after, earlier in zip(counts(), before, strict=True)], told

    with caplog.at_level(logging.INFO, "fonproxy.access"):
        assert of_a_push() == of_a_push()
    assert running.stored == [True]


def test_only_what_a_push_may_differ_in_is_not_asked_of_django_again(
    running: PushServer, clean_engine: Client, worker: User, key: str, make_key: MakeKey
) -> None:
    reader, deleted = make_key(worker, ("read",)), make_key(worker, ("ingest",))
    ApiKey.objects.latest("id").delete()
    for _ in range(2):
        assert running.ask("Host: localhost", f"x-api-key: {key}").startswith(b"HTTP/1.1 204 ")
    refused = [
        running.ask("Host: elsewhere.example", f"x-api-key: {key}"),
        running.ask("Host: localhost", f"x-api-key: {key}", "Content-Encoding: br"),
        running.ask("Host: localhost", f"x-api-key: {key}", "Transfer-Encoding: chunked"),
        running.ask("Host: localhost", f"x_api_key: {key}"),
        running.ask("Host: localhost", f"x-api-key: {key}", f"x-api-key: {key}"),
        running.ask("Host: localhost", f"x-api-key: {deleted}", f"Authorization: Bearer {key}"),
        running.ask("Host: localhost", f"x-api-key: {reader}"),
        running.ask("Host: localhost", f"x-api-key: {key}", "Idempotency-Key: \t"),
        running.ask("Host: localhost", f"x-api-key: {key}", body=b"{"),
    ]
    assert [int(answer.split()[1]) for answer in refused] == [400, 415, 400, 401, 401, 401, 403, 400, 400]
    assert counted(clean_engine, "traffic") == (2, 24)
