"""``manage.py demo_traffic`` with a server that is unavailable for a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

import pytest

from demo.management.commands.demo_traffic import EVERY, follow


class ReceivedPush(NamedTuple):
    path: str
    key: str
    body: bytes


class PushReceiver(ThreadingHTTPServer):
    """Refuses the first pushes."""

    REFUSED = 2

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PushHandler)
        self.pushes: list[ReceivedPush] = []

    def to_first_path(self) -> list[ReceivedPush]:
        return [push for push in self.pushes if push.path == self.pushes[0].path]


class PushHandler(BaseHTTPRequestHandler):
    server: PushReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.pushes.append(ReceivedPush(self.path, self.headers["Idempotency-Key"], body))
        is_refused = len(self.server.pushes) <= PushReceiver.REFUSED
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if is_refused else HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[PushReceiver]:
    with PushReceiver() as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_failed_push_is_repeated_unchanged_and_the_next_begins_where_it_ended(receiver: PushReceiver) -> None:
    noon = datetime(2026, 11, 30, 12, tzinfo=UTC)
    follow(f"http://127.0.0.1:{receiver.server_port}", (noon + number * EVERY for number in range(20)))
    *repeated, following = receiver.to_first_path()[: PushReceiver.REFUSED + 2]
    assert set(repeated) == {repeated[0]}
    end, next_start = repeated[0].key.split()[-1], following.key.split()[-2]
    assert next_start >= end
