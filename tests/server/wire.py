"""Requests and responses as bytes, and the shapes of errors."""

from __future__ import annotations

import http.client
import io
import uuid
from typing import Any

from tests.serving import Answer, Server

RANGE = "from=2026-01-01&to=2026-01-02"


def family_of(error: dict[str, Any]) -> str:
    match error:
        case {"success": False, "error": {"code": str(), "message": str(), "details": dict()}} if len(error) == 2:
            return "weproxies"
        case {"error": str(), "message": str(), "api_request_id": str(identity)} if len(error) == 3:
            return f"byteful{'' if uuid.UUID(identity) else '?'}"
        case {"error": str()} if len(error) == 1:
            return "apinalytics"
        case {"message": str(), "detail": str(), "path": str(), "timestamp": str(), "errors": list()}:
            return "fonproxy"
    return "none"


def answers(server: Server, sent: bytes) -> list[Answer]:
    """The responses in these bytes, each with its announced length."""
    found = []
    stream = io.BytesIO(server.raw(sent))
    while stream.tell() < len(stream.getbuffer()):
        status = int(stream.readline().split()[1])
        headers = http.client.parse_headers(stream)
        found.append(Answer(status, headers, stream.read(int(headers["Content-Length"]))))
    return found


def request(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, *(headers or ["Host: localhost"]), "", ""]).encode("latin-1")
