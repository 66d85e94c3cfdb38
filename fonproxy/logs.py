"""Logs for people on a terminal and for machines elsewhere, each line with the request it belongs to."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

request_id: ContextVar[str] = ContextVar("request_id", default="-")
# What a ClickHouse server calls the statements of the request; it lists them under the same names.
query_ids: ContextVar[list[str] | None] = ContextVar("query_ids", default=None)

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id and whatever was passed as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **_extra(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class TerminalFormatter(logging.Formatter):
    """Time, level, message and extras on one line, without the control characters that a caller's path may hold."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{time} {record.levelname.lower():<7} {record.name}: {record.getMessage()}{extra}"
        line = _CONTROL.sub("?", line)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def formatter() -> logging.Formatter:
    """The formatter that suits where the logs go."""
    return TerminalFormatter() if sys.stderr.isatty() else JsonFormatter()
