"""Small pushes to the handlers that store together those that arrive together: called directly, and by a web server."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from fonproxy.server.batches import Batches, Handled, Handler
from fonproxy.wsgi import application
from tests.fonproxy.server.running import RunningServer

OWN_TO_EACH = re.compile(rb"(?m)^(Date|X-Request-Id): .*$")


class PushServer(RunningServer):
    """FonProxy itself; remembers which pushes were stored together with others."""

    def __init__(self, handler: Handler, body: Callable[[], bytes], *paths: str) -> None:
        self.stored: list[bool] = []
        self._handler, self._body, self._path = handler, body, paths[0]
        super().__init__(application, *(Batches(path, self._accept) for path in paths))

    def _accept(self, environs: Sequence[Any]) -> Sequence[Handled | None]:
        answers = self._handler(environs)
        self.stored += [answer is not None for answer in answers]
        return answers

    def ask(self, *headers: str, target: str = "", version: str = "1.1", body: bytes = b"") -> bytes:
        """The whole response to a push, without the values that differ in each."""
        sent = body or self._body()
        line = f"POST {target or self._path} HTTP/{version}"
        head = [line, *headers, f"Content-Length: {len(sent)}", "Connection: close", "", ""]
        with self.connect() as client:
            client.sendall("\r\n".join(head).encode() + sent)
            return OWN_TO_EACH.sub(rb"\1", b"".join(iter(lambda: client.recv(2**16), b"")))


def environ_of(content: bytes, key: str | None, **headers: str) -> dict[str, Any]:
    """A push as the web server passes it to a handler."""
    named = {} if key is None else {"HTTP_X_API_KEY": key}
    return {"wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content)), **named, **headers}


def accepted(answers: Sequence[Handled | None]) -> list[bool]:
    """Which pushes a handler has accepted, once their rows are readable."""
    for answer in answers:
        if answer is not None and answer.wait is not None:
            answer.wait()
    return [answer is not None for answer in answers]
