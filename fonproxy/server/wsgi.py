"""A request as a WSGI environ, and the application's response as chunks that are produced when they can be sent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

import h11

from fonproxy.api.families import without_extra_slashes

# A thread produces this many bytes, then is released until the client has read them.
CHUNK_BYTES: Final = 2**18

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


@dataclass
class WsgiResponse:
    """Status, headers and the first chunk of the body; ``produce`` makes the next until ``is_ended``."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    chunk: bytes
    is_ended: bool = True
    parts: Iterator[bytes] = field(default_factory=lambda: iter(()))
    close: Callable[[], None] = lambda: None
    context: Context = field(default_factory=Context)

    def produce(self) -> None:
        """Sets ``chunk`` to the next :data:`CHUNK_BYTES` or more of the body. Runs in a thread."""
        self.context.run(self._produce)

    def _produce(self) -> None:
        parts: list[bytes] = []
        size = 0
        for part in self.parts:
            parts.append(part)
            size += len(part)
            if size >= CHUNK_BYTES:
                break
        else:
            self.end()
        self.chunk = parts[0] if len(parts) == 1 else b"".join(parts)

    def end(self) -> None:
        """Closes the body, whether or not it was read to the end. Runs in a thread."""
        self.is_ended = True
        self.close()


def call(application: Application, environ: dict[str, Any]) -> WsgiResponse:
    """Calls the application; returns its response with the first chunk of the body. Runs in a thread."""
    context = Context()
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started[:] = [status, headers]

    body = context.run(application, environ, start_response)
    status, headers = started
    code, _, reason = status.partition(" ")
    close = getattr(body, "close", lambda: None)
    answer = WsgiResponse(
        int(code), reason, headers, b"", is_ended=False, parts=iter(body), close=close, context=context
    )
    answer.produce()
    return answer


def environ_of(request: h11.Request, client: tuple[str, int], server: tuple[str, int]) -> dict[str, Any]:
    """The environ without a body. Raises ValueError for a target that is neither a path nor a URL.

    The host of a URL replaces the one of the header (RFC 9112).
    """
    path, query = split_target(request.target)
    is_path = request.target.startswith((b"/", b"*"))
    host = {} if is_path else {"HTTP_HOST": urlsplit(request.target.decode()).netloc}
    return {
        "REQUEST_METHOD": request.method.decode(),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode()}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **_headers(request),
        **host,
    }


def _headers(request: h11.Request) -> dict[str, str]:
    """Headers without those whose name has an underscore, which would be mistaken for a hyphen."""
    found: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        if b"_" in raw_name or raw_name == b"transfer-encoding":
            continue
        name = raw_name.decode().upper().replace("-", "_")
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        found[key] = f"{found[key]}{'; ' if name == 'COOKIE' else ', '}{value}" if key in found else value
    return found


def split_target(target: bytes) -> tuple[str, str]:
    """The quoted path and the query of a request's target; ValueError if it is malformed."""
    text = target.decode()
    if not text.startswith(("/", "*")):
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https"):
            raise ValueError("The target must be a path or a URL.")
        return without_extra_slashes(parts.path) or "/", parts.query
    path, _, query = text.partition("?")
    return without_extra_slashes(path), query


def unquoted(path: bytes) -> str:
    return unquote_to_bytes(path).decode(errors="replace")
