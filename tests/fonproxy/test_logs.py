"""Formats of log lines."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from django.test import Client

from fonproxy.logs import JsonFormatter, TerminalFormatter, request_id


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.getLogger("fonproxy.access").makeRecord(
        "fonproxy.access", logging.WARNING, __file__, 1, message, (), None, extra=extra
    )


def test_json_line_has_time_level_logger_message_request_and_extras() -> None:
    token = request_id.set("r-1")
    made = record("GET /orders 200", ms=1.5, account=None, request=object())
    made.created = 1_795_000_000.125
    line = JsonFormatter().format(made)
    request_id.reset(token)
    assert json.loads(line) == {
        "time": "2026-11-18T11:06:40.125+00:00",
        "level": "warning",
        "logger": "fonproxy.access",
        "message": "GET /orders 200",
        "request_id": "r-1",
        "ms": 1.5,
        "account": None,
    }
    assert "\n" not in line


def test_json_line_has_the_exception_and_text_as_it_is() -> None:
    made = record("größer\nthan")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonFormatter().format(made)
    assert "größer\\nthan" in line
    assert "ValueError: why" in json.loads(line)["exception"]


def test_terminal_line_has_no_control_characters() -> None:
    line = TerminalFormatter().format(record("GET /\x1b[31m\n200", ms=2))
    assert line.endswith(" warning fonproxy.access: GET /?[31m?200 ms=2")


def test_a_refused_host_is_logged_with_the_setting_that_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    for host in ("usage.example.com", "a" * 5000, "b\nc"):
        assert Client().get("/healthz", headers={"host": host}).status_code in (200, 400)
        assert Client().get("/sign-in", headers={"host": host}).status_code == 400
    lines = [line for line in caplog.records if line.name == "django.security.DisallowedHost"]
    assert [line.levelname for line in lines] == ["WARNING"] * len(lines)
    assert "'usage.example.com'" in lines[0].getMessage()
    assert all("FONPROXY_ALLOWED_HOSTS" in line.getMessage() and len(line.getMessage()) < 400 for line in lines)
    assert not any("\n" in line.getMessage() or line.exc_info for line in lines)
