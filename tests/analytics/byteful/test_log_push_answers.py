"""The web server, Django and the handler of small pushes to ``/log/ingest`` at once: the same answers as Django's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.models import User
from analytics.byteful.log import push_batches
from analytics.ingest.flusher import flusher
from fonproxy.clickhouse.client import Client
from fonproxy.server.batches import Batches, Handled
from fonproxy.wsgi import application
from tests.analytics.byteful.log_pushes import body_of, request
from tests.analytics.helpers import counted
from tests.fonproxy.server.running import RunningServer

MakeKey = Callable[..., str]
pytestmark = pytest.mark.django_db(transaction=True)
PATHS = ("/log/ingest", "/1.0/public/user/log/ingest")


class LogServer(RunningServer):
    """FonProxy itself; remembers which pushes were stored together with others."""

    def __init__(self) -> None:
        self.stored: list[bool] = []
        super().__init__(application, *(Batches(path, self._accept) for path in PATHS))

    def _accept(self, environs: Any) -> list[Handled | None]:
        answers = push_batches.accept(environs)
        self.stored += [answer is not None for answer in answers]
        return answers

    def ask(self, path: str, *headers: str, body: bytes = b"") -> bytes:
        """The whole response to a push, but for what is its own."""
        sent = body or body_of(request())
        head = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, f"Content-Length: {len(sent)}"]
        with self.connect() as client:
            client.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode() + sent)
            lines = b"".join(iter(lambda: client.recv(2**16), b"")).split(b"\r\n")
        return b"\r\n".join(line for line in lines if not line.startswith((b"Date: ", b"X-Request-Id: ")))


@pytest.fixture
def running(clean_engine: Client) -> Iterator[LogServer]:
    flusher.start()
    server = LogServer()
    yield server
    server.stop()
    flusher.stop()


@pytest.fixture
def key(worker: User, make_key: MakeKey) -> str:
    return make_key(worker, ("ingest",))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [(), ("Prefer: respond-async",), ("Content-Type: application/json",)], ids=" ".join)
def test_the_second_answer_is_the_first_byte_for_byte(
    running: LogServer, key: str, path: str, headers: tuple[str, ...]
) -> None:
    first, second = (running.ask(path, f"x-api-key: {key}", *headers) for _ in range(2))
    assert first.startswith(b"HTTP/1.1 204 ")
    assert second == first
    assert running.stored == [True]


@pytest.mark.parametrize("path", PATHS)
def test_refusals_are_those_of_the_view(running: LogServer, clean_engine: Client, key: str, path: str) -> None:
    public = key[:12]
    for _ in range(2):
        assert running.ask(path, f"x-api-key: {key}").startswith(b"HTTP/1.1 204 ")
    refused = [
        running.ask(path, "x-api-key: fnp_wrong"),
        running.ask(path, f"x-api-key: {key}", f"X-API-Public-Key: {public}"),
        running.ask(path, f"x-api-key: {key}", body=b"{"),
        running.ask(path, f"x-api-key: {key}", body=body_of(request(log_status_code=1000))),
        running.ask(path, f"x-api-key: {key}", body=body_of(request())[:-1] + b", " + body_of(request())[1:]),
        running.ask(path),
    ]
    assert [int(answer.split()[1]) for answer in refused] == [401, 401, 400, 400, 400, 401]
    assert counted(clean_engine, "requests") == (2, 2)
