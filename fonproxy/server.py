"""The embedded web server: waitress, with its own refusals in our JSON.

Waitress reads a body before the application sees it, so bodies over the limit are refused here. Three of its habits are
changed: it closes connections after a 204; it invites a client that asked first (``Expect: 100-continue``) to send a
body it has already refused; and it resets the connection of one that is still sending, which then misses the answer.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from typing import Any, Final

from django.conf import settings
from django.utils import timezone
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, WSGITask

from fonproxy.api.families import Problem, shape_for
from fonproxy.api.renderers import JsonRenderer
from fonproxy.logs import request_id

# Slightly more than a body may hold, so that a body just over the limit is refused by the application itself.
MAX_BODY_BYTES: Final = settings.INGEST_MAX_BYTES + 2**20
LINGER_SECONDS: Final = 2.0
DRAIN_SECONDS: Final = 8.0
CODES: Final = {413: "request.too_large", 431: "request.headers_too_large", 501: "request.not_implemented"}


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self.error:
            self.expect_continue = False
        return consumed


class _Task(WSGITask):  # type: ignore[misc]
    def set_close_on_finish(self) -> None:
        # Waitress closes the connection after a 204, for want of a length that a response without body does not have.
        is_asked_to = self.request.headers.get("CONNECTION", "").lower() == "close"
        if self.has_body or self.version == "1.0" or is_asked_to:
            super().set_close_on_finish()


class _JsonErrorTask(ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        error = self.request.error
        path = getattr(self.request, "path", "/") or "/"
        token = request_id.set(str(uuid.uuid4()))
        detail = f"{error.reason}: {error.body}." if error.code < 500 else error.reason
        code = CODES.get(error.code, "request.invalid" if error.code < 500 else "service.internal_error")
        problem = Problem(error.code, code, detail, (), path, timezone.now())
        body = JsonRenderer().render(shape_for(path)(problem))
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [("Content-Type", "application/json"), ("X-Request-Id", request_id.get())]
        request_id.reset(token)
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
        self.channel.is_refused = True


class _Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser
    task_class = _Task
    error_task_class = _JsonErrorTask
    is_refused = False

    def handle_close(self) -> None:
        if self.is_refused and self.connected:
            threading.Thread(target=_drain, args=(self.socket.dup(),), daemon=True).start()
        super().handle_close()


def _drain(connection: socket.socket) -> None:
    """Reads away what the client still sends, for a moment, so that it gets to read the answer."""
    deadline = time.monotonic() + LINGER_SECONDS
    with connection:
        try:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(LINGER_SECONDS)
            while time.monotonic() < deadline and connection.recv(2**16):
                pass
        except OSError:
            pass  # the client has gone, which is what this waits for


def make_server(application: Any, host: str, port: int) -> BaseWSGIServer:
    """A server that listens already; ``run()`` serves until the process is told to stop."""
    server = create_server(
        application,
        host=host,
        port=port,
        threads=settings.SERVER_THREADS,
        max_request_body_size=MAX_BODY_BYTES,
        connection_limit=1000,
        channel_timeout=120,
        ident=None,
        clear_untrusted_proxy_headers=False,
    )
    server.channel_class = _Channel
    return server


def run_until(stop: threading.Event, server: BaseWSGIServer) -> None:
    """Serves until ``stop`` is set, then takes no more connections and lets the requests under way finish."""
    while not stop.is_set():
        _loop_once(server, seconds=30)  # whoever sets the event also wakes the loop
    server.del_channel()
    server.socket.close()
    deadline = time.monotonic() + DRAIN_SECONDS
    while _is_busy(server) and time.monotonic() < deadline:
        _loop_once(server, seconds=0.1)
    server.task_dispatcher.shutdown(timeout=1)


def _loop_once(server: BaseWSGIServer, seconds: float) -> None:
    server.asyncore.loop(timeout=seconds, map=server._map, use_poll=True, count=1)


def _is_busy(server: BaseWSGIServer) -> bool:
    return any(channel.requests or channel.total_outbufs_len for channel in list(server.active_channels.values()))
