"""The web server, Django and the handler of small pushes at once: nobody can tell by which a push was stored."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from accounts.models import ApiKey, User
from analytics.ingest.flusher import flusher
from analytics.traffic import push_batches
from fonproxy import instruments
from fonproxy.clickhouse.client import Client
from fonproxy.server.batches import Batches, Handled
from fonproxy.wsgi import application
from tests.analytics.helpers import body_of, counted, documented_row
from tests.fonproxy.server.running import RunningServer

MakeKey = Callable[..., str]
pytestmark = pytest.mark.django_db(transaction=True)
OWN_TO_EACH = re.compile(rb"(?m)^(Date|X-Request-Id): .*$")


class PushServer(RunningServer):
    """FonProxy itself; remembers which pushes were stored together with others."""

    def __init__(self) -> None:
        self.stored: list[bool] = []
        super().__init__(application, Batches("/analytics/ingest", self._accept))

    def _accept(self, environs: Sequence[Any]) -> list[Handled | None]:
        answers = push_batches.accept(environs)
        self.stored += [answer is not None for answer in answers]
        return answers

    def ask(self, *headers: str, target: str = "/analytics/ingest", version: str = "1.1", body: bytes = b"") -> bytes:
        """The whole response to a push, but for what is its own."""
        sent = body or body_of([documented_row()])
        head = [f"POST {target} HTTP/{version}", *headers, f"Content-Length: {len(sent)}", "Connection: close", "", ""]
        with self.connect() as client:
            client.sendall("\r\n".join(head).encode() + sent)
            return OWN_TO_EACH.sub(rb"\1", b"".join(iter(lambda: client.recv(2**16), b"")))


@pytest.fixture
def running(clean_engine: Client) -> Iterator[PushServer]:
    flusher.start()
    server = PushServer()
    yield server
    server.stop()
    flusher.stop()


@pytest.fixture
def key(worker: User, make_key: MakeKey) -> str:
    return make_key(worker, ("ingest",))


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
    first, second = (running.ask(*sent, target="/analytics/ingest?a=b", version=version) for _ in range(2))
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
