"""Requests that one thread handles together get the response that the application gives to one of their kind."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from fonproxy import instruments
from fonproxy.middleware import CALLER
from fonproxy.server import batches
from fonproxy.server.batches import Batches, Handled
from fonproxy.server.callers import Callers
from tests.fonproxy.server.running import WAIT_SECONDS, RunningServer
from tests.serving import Answer
from tests.waiting import wait_for

HEAD = (
    "POST /analytics/ingest HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer worker\r\n"
    "{headers}Content-Length: {length}\r\n\r\n"
)


def is_silent(client: socket.socket) -> bool:
    """Whether nothing came from the server yet, not even the end of the connection."""
    return not select.select([client], [], [], 0)[0]


class StoringApp:
    """Stores every body except ``bad``, and records all it receives."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read()
        environ[CALLER] = 1
        self.bodies.append(body)
        headers = [("X-Kind", environ.get("HTTP_PREFER", "plain")), ("X-Request-Id", "of-the-application")]
        if environ.get("HTTP_COOKIE") == "set":
            headers.append(("Set-Cookie", "a=b"))
        if body == b"bad":
            start_response("400 Bad Request", [*headers, ("Content-Length", "7")])
            return [b"refused"]
        start_response("204 No Content", headers)
        return []


class BodyHandler:
    """Accepts every body except ``bad`` and ``odd``; ``slow`` ones may be answered after ``release``."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.is_working = threading.Event()
        self.release = threading.Event()
        self.fails_late = False

    def __call__(self, environs: Sequence[Any]) -> list[Handled | None]:
        bodies = [environ["wsgi.input"].read() for environ in environs]
        self.batches.append(bodies)
        self.is_working.set()
        assert self.is_open.wait(WAIT_SECONDS)
        if b"broken" in bodies:
            raise OSError("the disk is gone")
        return [self._accepted(body) for body in bodies if body != b"forgotten"]

    def _accepted(self, body: bytes) -> Handled | None:
        if body in (b"bad", b"odd"):
            return None
        if body == b"denied":
            return Handled(1, status=403, body=b"not you")
        return Handled(1, (lambda: self._wait()) if body == b"slow" else None)

    def _wait(self) -> None:
        assert self.release.wait(WAIT_SECONDS)
        if self.fails_late:
            raise OSError("the engine is gone")


class BatchingServer(RunningServer):
    def __init__(self) -> None:
        self.app, self.handler = StoringApp(), BodyHandler()
        self.batches = Batches("/analytics/ingest", self.handler)
        super().__init__(self.app, self.batches)

    def callers(self) -> Callers:
        return self._server._service.callers

    def waiting(self) -> int:
        return len(self.batches._waiting)

    def send(self, body: bytes, headers: str = "") -> socket.socket:
        client = self.connect()
        client.sendall(HEAD.format(headers=headers, length=len(body)).encode() + body)
        return client

    def ask(self, body: bytes, headers: str = "") -> Answer:
        with self.send(body, headers) as client:
            return Answer.read_from(client, "POST")


@pytest.fixture
def running() -> Iterator[BatchingServer]:
    """A server whose application has already answered one plain request."""
    server = BatchingServer()
    assert server.ask(b"first").status == 204
    yield server
    server.handler.is_open.set()
    server.handler.release.set()
    server.stop()


def test_later_requests_of_a_kind_get_the_headers_that_the_application_gave_the_first(running: BatchingServer) -> None:
    answer = running.ask(b"second", "X-Request-Id: mine\r\nx-api-key: another\r\nIdempotency-Key: k\r\n")
    assert (answer.status, answer.headers["X-Kind"]) == (204, "plain")
    assert answer.headers.get_all("X-Request-Id") == ["mine"]
    assert (running.app.bodies, running.handler.batches) == ([b"first"], [[b"second"]])


def test_a_caller_stays_known_by_requests_that_the_application_never_sees(running: BatchingServer) -> None:
    running.callers()._known.clear()
    running.ask(b"second")
    assert running.app.bodies == [b"first"]
    assert [name for name, _ in running.callers()._known.values()] == ["account 1"]


def test_each_answer_has_a_request_id_of_its_own(running: BatchingServer) -> None:
    ids = {running.ask(b"x").headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3
    assert "of-the-application" not in ids
    assert running.ask(b"x", "X-Request-Id: not a valid id\r\n").headers["X-Request-Id"] != "not a valid id"


@pytest.mark.parametrize("header", ["Traceparent", "CF-Ray", "X-Amzn-Trace-Id", "X-Forwarded-For", "User-Agent"])
def test_headers_that_balancers_set_anew_for_each_request_make_no_other_kind(
    running: BatchingServer, header: str
) -> None:
    assert running.ask(b"x", f"{header}: 1\r\n").status == 204
    assert running.handler.batches == [[b"x"]]


@pytest.mark.parametrize("header", ["Prefer: respond-async", "Accept: text/csv", "Cookie: a=b", "X-Unknown: 1"])
def test_a_request_with_another_header_belongs_to_another_kind(running: BatchingServer, header: str) -> None:
    first, second = (running.ask(b"x", f"{header}\r\n") for _ in range(2))
    assert running.app.bodies == [b"first", b"x"]
    assert running.handler.batches == [[b"x"]]
    assert first.headers["X-Kind"] == second.headers["X-Kind"]


def test_a_refusal_of_the_application_is_never_reused(running: BatchingServer) -> None:
    for _ in range(2):
        assert running.ask(b"bad", "X-Other: 1\r\n").status == 400
    assert running.app.bodies == [b"first", b"bad", b"bad"]
    assert running.handler.batches == []


def test_declined_requests_go_to_the_application_with_their_bodies(running: BatchingServer) -> None:
    assert running.ask(b"bad").body == b"refused"
    assert running.ask(b"odd").status == 204
    assert running.app.bodies == [b"first", b"bad", b"odd"]


def test_a_large_body_goes_to_the_application(running: BatchingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 5)
    assert running.ask(b"small").status == 204
    assert running.ask(b"larger").status == 204
    assert (running.app.bodies, running.handler.batches) == ([b"first", b"larger"], [[b"small"]])


def test_a_compressed_body_goes_to_the_application(running: BatchingServer) -> None:
    for _ in range(2):
        assert running.ask(b"packed", "Content-Encoding: gzip\r\n").status == 204
    assert running.app.bodies == [b"first", b"packed", b"packed"]
    assert running.handler.batches == []


def test_requests_that_arrive_during_a_batch_form_the_next_one(running: BatchingServer) -> None:
    running.handler.is_open.clear()
    with ExitStack() as open_:
        clients = [open_.enter_context(running.send(b"0"))]
        assert running.handler.is_working.wait(WAIT_SECONDS)
        clients += [open_.enter_context(running.send(b"%d" % number)) for number in range(1, 9)]
        wait_for(lambda: running.waiting() == 8)
        running.handler.is_open.set()
        assert [Answer.read_from(client, "POST").status for client in clients] == [204] * 9
    assert [sorted(batch) for batch in running.handler.batches] == [[b"0"], [b"%d" % number for number in range(1, 9)]]


@pytest.mark.parametrize("maximum", ["MAX_REQUESTS", "MAX_BATCH_BYTES"])
def test_a_batch_has_a_maximum_and_the_rest_forms_the_next(
    running: BatchingServer, monkeypatch: pytest.MonkeyPatch, maximum: str
) -> None:
    monkeypatch.setattr(batches, maximum, 4)
    running.handler.is_open.clear()
    with ExitStack() as open_:
        clients = [open_.enter_context(running.send(b"x"))]
        assert running.handler.is_working.wait(WAIT_SECONDS)
        clients += [open_.enter_context(running.send(b"x")) for _ in range(7)]
        wait_for(lambda: running.waiting() == 7)
        running.handler.is_open.set()
        assert {Answer.read_from(client, "POST").status for client in clients} == {204}
    assert [len(batch) for batch in running.handler.batches] == [1, 4, 3]


def test_what_is_left_of_a_full_batch_does_not_wait_for_its_answers(
    running: BatchingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_REQUESTS", 1)
    running.handler.is_open.clear()
    with running.send(b"0"), ExitStack() as open_:
        assert running.handler.is_working.wait(WAIT_SECONDS)
        clients = []
        for body in (b"slow", b"slow", b"quick"):
            clients.append(open_.enter_context(running.send(body)))
            wait_for(lambda: running.waiting() == len(clients))
        running.handler.is_open.set()
        assert Answer.read_from(clients[2], "POST").status == 204
        assert all(map(is_silent, clients[:2]))


def test_a_request_that_waits_holds_up_none_of_its_batch_nor_the_next(running: BatchingServer) -> None:
    running.handler.is_open.clear()
    with running.send(b"0"), ExitStack() as open_:
        assert running.handler.is_working.wait(WAIT_SECONDS)
        slow, quick = (open_.enter_context(running.send(body)) for body in (b"slow", b"quick"))
        wait_for(lambda: running.waiting() == 2)
        running.handler.is_open.set()
        assert Answer.read_from(quick, "POST").status == 204
        assert running.ask(b"next").status == 204
        assert is_silent(slow)
        running.handler.release.set()
        assert Answer.read_from(slow, "POST").status == 204


def test_a_batch_that_fails_is_answered_with_503_and_not_tried_again(running: BatchingServer) -> None:
    failures = instruments.HTTP_SECONDS.labels("POST", "analytics/ingest", 503)._buckets
    earlier = sum(bucket.get() for bucket in failures)
    answer = running.ask(b"broken", "X-Request-Id: mine\r\n")
    assert (answer.status, answer.headers["Retry-After"], answer.headers["X-Request-Id"]) == (503, "1", "mine")
    assert json.loads(answer.body)["path"] == "/analytics/ingest"
    assert sum(bucket.get() for bucket in failures) == earlier + 1
    assert running.app.bodies == [b"first"]
    assert running.ask(b"fine").status == 204


def test_a_request_that_the_handler_does_not_answer_is_answered_with_503(running: BatchingServer) -> None:
    assert running.ask(b"forgotten").status == 503
    assert running.app.bodies == [b"first"]


def test_what_was_accepted_is_answered_so_even_if_waiting_fails(running: BatchingServer) -> None:
    running.handler.fails_late = True
    running.handler.release.set()
    assert running.ask(b"slow").status == 204
    assert running.app.bodies == [b"first"]


def test_a_response_with_a_cookie_is_not_reused(running: BatchingServer) -> None:
    for _ in range(2):
        assert running.ask(b"x", "Cookie: set\r\n").headers["Set-Cookie"] == "a=b"
    assert running.handler.batches == []


def test_a_client_that_has_gone_disturbs_none_of_its_batch(running: BatchingServer) -> None:
    running.handler.is_open.clear()
    with running.send(b"0") as first:
        assert running.handler.is_working.wait(WAIT_SECONDS)
        gone, stays = running.send(b"gone"), running.send(b"stays")
        wait_for(lambda: running.waiting() == 2)
        gone.close()
        running.handler.is_open.set()
        with stays:
            assert [Answer.read_from(client, "POST").status for client in (first, stays)] == [204] * 2


def test_the_handler_determines_the_status_and_body(running: BatchingServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "fonproxy.access"):
        answer = running.ask(b"denied")
    assert (answer.status, answer.headers["Content-Length"], answer.headers["X-Kind"]) == (403, "7", "plain")
    assert answer.body == b"not you"
    assert "POST /analytics/ingest 403" in caplog.messages


def test_accepted_requests_are_logged_with_their_id_account_and_status(
    running: BatchingServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "fonproxy.access"):
        assert running.ask(b"x", "X-Request-Id: mine\r\n").status == 204
    [line] = [record for record in caplog.records if record.name == "fonproxy.access"]
    assert line.getMessage() == "POST /analytics/ingest 204"
    assert line.account == 1  # type: ignore[attr-defined]
