"""Checks that apply to every refused body."""

from __future__ import annotations

import uuid
from typing import Any

from tests.serving import Answer, Server, body_of, row


def assert_error(answer: Answer, status: int) -> dict[str, Any]:
    """Checks that the answer is an error as FonProxy routes give it; returns it."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-Id"]
    error: dict[str, Any] = answer.json
    assert set(error) == {"message", "detail", "path", "timestamp", "errors"}
    assert error["path"] == "/analytics/ingest"
    assert error["detail"].endswith(".")
    return error


def assert_refused(server: Server, body: bytes, status: int = 400, **headers: str) -> dict[str, Any]:
    """Checks that the body is refused, nothing of it is stored, and its key is free; returns the error."""
    key = str(uuid.uuid4())
    before = server.requests_of_alice()
    error = assert_error(server.post(body, **{"Idempotency_Key": key} | headers), status)
    assert server.requests_of_alice() == before
    if "Idempotency_Key" not in headers:
        assert server.post(b'{"logs":[]}', Idempotency_Key=key).status == 204
    return error


def assert_row_refused(server: Server, text: bytes) -> dict[str, Any]:
    """Checks that the row is refused although the one before it is valid; returns the error about it."""
    sound = body_of(row()).removesuffix(b"]}")
    error = assert_refused(server, sound + b"," + text + b"]}")
    assert error["message"] == "analytics.invalid_rows"
    [named] = error["errors"]
    assert named["index"] == 1
    assert named["message"].endswith(".")
    found: dict[str, Any] = named
    return found
