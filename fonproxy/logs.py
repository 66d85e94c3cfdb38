"""Log formats: one line of text on a terminal, otherwise one JSON object per line; each has the request id."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter as LibraryJsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="-")
# Ids of the request's statements on a ClickHouse server, as in system.query_log.
query_ids: ContextVar[list[str] | None] = ContextVar("query_ids", default=None)

_NO_EXTRA: Final = frozenset(RESERVED_ATTRS) | {"request"}
MAX_HOST: Final = 255
# The length of the secret in a mailed link; longer than a UUID.
_SECRET: Final = re.compile(r"[\w:.=-]{38,}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def without_secrets(path: str) -> str:
    """A path that no route matches, without segments that may be the secret of a mistyped link."""
    return _SECRET.sub("***", path)


class JsonFormatter(LibraryJsonFormatter):
    """``time``, ``level``, ``logger``, ``message``, ``request_id``, the record's ``extra`` and ``exception``."""

    def __init__(self) -> None:
        super().__init__(
            "{message}",
            style="{",
            rename_fields={"exc_info": "exception"},
            reserved_attrs=_NO_EXTRA,
            json_ensure_ascii=False,
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = _time(record).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["request_id"] = request_id.get()
        super().add_fields(log_data, record, message_dict)


class DisallowedHost(logging.Filter):
    """Logs the host and the setting instead of a stack trace, because scanners send any host."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        host = request.META.get("HTTP_HOST", request.META.get("SERVER_NAME", "")) if request is not None else ""
        record.msg = "Refused a request for the host %r, which FONPROXY_ALLOWED_HOSTS does not list."
        record.args = (str(host)[:MAX_HOST],)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
        return True


class TerminalFormatter(logging.Formatter):
    """Time, level, logger, message and extras on one line, with ``?`` for the control characters of a caller's path."""

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f" {name}={value}" for name, value in vars(record).items() if name not in _NO_EXTRA)
        line = f"{_time(record):%H:%M:%S} {record.levelname.lower():<7} {record.name}: {record.getMessage()}{extra}"
        line = _CONTROL.sub("?", line)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def formatter() -> logging.Formatter:
    """The formatter for a terminal or for other outputs."""
    return TerminalFormatter() if sys.stderr.isatty() else JsonFormatter()
