"""The embedded web server: waitress, with its own refusals in our JSON.

Waitress reads a body before the application sees it, so bodies over the limit are refused here. Some of its habits are
changed:

* it closes connections after a 204;
* it sends the body that the application made for a HEAD, which the client takes for the next response;
* it invites a client that asked first (``Expect: 100-continue``) to send a body it has already refused;
* it resets the connection of a client that is still sending, which then misses the answer;
* it hangs up without an answer where Python cannot read a number or an address;
* it collects the line before a chunk, and the trailer after the last one, at any length and in quadratic time.
"""

from __future__ import annotations

import re
import socket
import threading
import time
import uuid
from typing import Any, Final

from django.conf import settings
from django.utils import timezone
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, unquote_bytes_to_wsgi
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, RequestHeaderFieldsTooLarge

from fonproxy.api.body import too_large
from fonproxy.api.families import Problem, shape_for
from fonproxy.api.renderers import JsonRenderer
from fonproxy.logs import request_id
from fonproxy.middleware import access_log

# Slightly more than a body may hold, so that a body just over the limit is refused by the application itself.
MAX_BODY_BYTES: Final = settings.INGEST_MAX_BYTES + 2**20
CHUNK_LINE_BYTES: Final = 2**14  # before a chunk: its length and extensions; after the last one: the trailer
LINGER_SECONDS: Final = 2.0
DRAIN_SECONDS: Final = 8.0
ARRIVAL_SECONDS: Final = 1.0
CODES: Final = {413: "request.too_large", 431: "request.headers_too_large", 501: "request.not_implemented"}
FIRST_LINE: Final = re.compile(rb"([A-Z]+) (/[^ ?#]*)")


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    command = "-"
    path = "/"

    def received(self, data: bytes) -> int:
        try:
            consumed: int = super().received(data)
        except ValueError:
            self._refuse("A number or address in it is malformed")
            return len(data)
        if self.chunked and max(len(self.body_rcv.control_line), len(self.body_rcv.trailer)) > CHUNK_LINE_BYTES:
            self._refuse("A line between its chunks is too long")
        if isinstance(self.error, RequestHeaderFieldsTooLarge):
            self._name_request(self.header_plus + data)
        if self.error:
            self.expect_continue = False
        return consumed

    def _refuse(self, sentence: str) -> None:
        self.error = BadRequest(sentence)
        self.completed = True

    def _name_request(self, head: bytes) -> None:
        """Which request it was: waitress gives up before it has read the first line."""
        if match := FIRST_LINE.match(head):
            self.command, self.path = match[1].decode(), unquote_bytes_to_wsgi(match[2])


class _Task(WSGITask):  # type: ignore[misc]
    chunked_response: bool

    def set_close_on_finish(self) -> None:
        # Waitress closes the connection after a 204, for want of a length that a response without body does not have.
        is_asked_to = self.request.headers.get("CONNECTION", "").lower() == "close"
        if self.has_body or self.version == "1.0" or is_asked_to:
            super().set_close_on_finish()

    def write(self, data: bytes) -> None:
        super().write(b"" if self.request.command == "HEAD" else data)

    def finish(self) -> None:
        self.chunked_response = self.chunked_response and self.request.command != "HEAD"
        super().finish()


class _JsonErrorTask(ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        error = self.request.error
        path = self.request.path.encode("latin-1").decode(errors="replace")
        code = CODES.get(error.code, "request.invalid" if error.code < 500 else "service.internal_error")
        problem = Problem(error.code, code, _sentence(error), (), path, timezone.now())
        token = request_id.set(str(uuid.uuid4()))
        try:
            body = JsonRenderer().render(shape_for(path)(problem))
            self.response_headers += [
                ("Content-Type", "application/json"),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Request-Id", request_id.get()),
            ]
            access_log.info("%s %s %s", self.request.command, path, error.code, extra={"ms": None, "account": None})
        finally:
            request_id.reset(token)
        self.status = f"{error.code} {error.reason}"
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
        self.channel.is_refused = True


def _sentence(error: Any) -> str:
    if error.code == 413:
        return str(too_large(settings.INGEST_MAX_BYTES).detail)
    return f"{error.reason}: {error.body}." if error.code < 500 else f"{error.reason}."


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
    """Serves until ``stop`` is set, then takes no more connections and lets the requests under way finish.

    A request that is still arriving is under way as long as more of it comes in.
    """
    while not stop.is_set():
        _loop_once(server, seconds=30)  # whoever sets the event also wakes the loop
    server.del_channel()
    server.socket.close()
    deadline = time.monotonic() + DRAIN_SECONDS
    _loop_once(server, seconds=0)  # notices what has arrived by now
    while _is_busy(server) and time.monotonic() < deadline:
        _loop_once(server, seconds=0.1)
    server.task_dispatcher.shutdown(timeout=1)


def _loop_once(server: BaseWSGIServer, seconds: float) -> None:
    server.asyncore.loop(timeout=seconds, map=server._map, use_poll=True, count=1)


def _is_busy(server: BaseWSGIServer) -> bool:
    channels = list(server.active_channels.values())
    return any(channel.requests or channel.total_outbufs_len or _is_arriving(channel) for channel in channels)


def _is_arriving(channel: HTTPChannel) -> bool:
    return channel.request is not None and time.time() - channel.last_activity < ARRIVAL_SECONDS
