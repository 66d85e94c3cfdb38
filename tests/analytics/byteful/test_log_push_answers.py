"""The web server, Django and the handler of small pushes to ``/log/ingest`` at once: the same answers as Django's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from analytics.byteful.log import push_batches
from fonproxy.clickhouse.client import Client
from tests.analytics.byteful.log_pushes import body_of, request
from tests.analytics.helpers import counted
from tests.analytics.pushing import PushServer

MakeKey = Callable[..., str]
pytestmark = pytest.mark.django_db(transaction=True)
PATHS = ("/log/ingest", "/1.0/public/user/log/ingest")


@pytest.fixture
def running(sending: Client) -> Iterator[PushServer]:
    server = PushServer(push_batches.accept, lambda: body_of(request()), *PATHS)
    yield server
    server.stop()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [(), ("Prefer: respond-async",), ("Content-Type: application/json",)], ids=" ".join)
def test_the_second_answer_is_the_first_byte_for_byte(
    running: PushServer, key: str, path: str, headers: tuple[str, ...]
) -> None:
    first, second = (running.ask("Host: localhost", f"x-api-key: {key}", *headers, target=path) for _ in range(2))
    assert first.startswith(b"HTTP/1.1 204 ")
    assert second == first
    assert running.stored == [True]


@pytest.mark.parametrize("path", PATHS)
def test_refusals_are_those_of_the_view(running: PushServer, clean_engine: Client, key: str, path: str) -> None:
    public = key[:12]
    for _ in range(2):
        assert running.ask("Host: localhost", f"x-api-key: {key}", target=path).startswith(b"HTTP/1.1 204 ")

    def ask(*headers: str, body: bytes = b"") -> bytes:
        return running.ask("Host: localhost", *headers, target=path, body=body)

    refused = [
        ask("x-api-key: fnp_wrong"),
        ask(f"x-api-key: {key}", f"X-API-Public-Key: {public}"),
        ask(f"x-api-key: {key}", body=b"{"),
        ask(f"x-api-key: {key}", body=body_of(request(log_status_code=1000))),
        ask(f"x-api-key: {key}", body=body_of(request())[:-1] + b", " + body_of(request())[1:]),
        ask(),
    ]
    assert [int(answer.split()[1]) for answer in refused] == [401, 401, 400, 400, 400, 401]
    assert counted(clean_engine, "requests") == (2, 2)
