"""A stand-in for FonProxy that accepts every push and stores it, for tests of the agent alone."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandIn(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows: list[dict[str, Any]] = []
        self.keys: list[str] = []
        # The response to a GET, or to a POST other than logs: status and JSON, from the path and the body.
        self.answer: Callable[[str, Any], tuple[int, Any]] = lambda path, body: (404, {})
        self.called: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: the second would wait 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] != "gzip":
            self._answer(json.loads(body))
            return
        body = gzip.decompress(body)
        self.server.keys.append(self.headers["x-api-key"])
        self.server.rows += json.loads(body)["logs"]
        self.send_response(204)
        self.end_headers()

    def _answer(self, body: Any) -> None:
        self.server.called.append((self.path, body))
        status, answer = self.server.answer(self.path, body)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Disabled."""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
