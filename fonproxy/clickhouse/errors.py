"""Errors of the engine, by what the caller can do about them.

::

    EngineError
    ├── EngineUnavailable   unreachable, refusing, full or busy: retry later
    ├── QueryTooHeavy       a limit of the profile was hit: ask for less
    └── EngineFault         our SQL or our data is wrong: repeating it will not help

Messages are for logs: they may name tables and columns, so they never go into an answer to a customer.
"""

from __future__ import annotations

import re
from typing import Final


class EngineError(Exception):
    """An error of the engine; ``code`` is ClickHouse's number for it, None when the error is our own."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class EngineUnavailable(EngineError):
    """The engine is temporarily unavailable; retry later."""


class QueryTooHeavy(EngineError):
    """The query hit the time, memory or row limit of its profile."""


class EngineFault(EngineError):
    """The statement or its data is wrong: a bug in FonProxy."""


CLASS_BY_CODE: Final[dict[int, type[EngineError]]] = {
    **dict.fromkeys(
        (
            74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
            75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
            76,  # CANNOT_OPEN_FILE, also: another process holds the data directory
            95,  # CANNOT_READ_FROM_SOCKET
            96,  # CANNOT_WRITE_TO_SOCKET
            173,  # CANNOT_ALLOCATE_MEMORY
            192,  # UNKNOWN_USER
            193,  # WRONG_PASSWORD
            194,  # REQUIRED_PASSWORD
            198,  # DNS_ERROR
            201,  # QUOTA_EXCEEDED
            202,  # TOO_MANY_SIMULTANEOUS_QUERIES
            203,  # NO_FREE_CONNECTION
            204,  # CANNOT_FSYNC
            209,  # SOCKET_TIMEOUT
            210,  # NETWORK_ERROR
            225,  # NO_ZOOKEEPER
            236,  # ABORTED, the engine is shutting down
            242,  # TABLE_IS_READ_ONLY, a replica lost its keeper
            243,  # NOT_ENOUGH_SPACE
            252,  # TOO_MANY_PARTS, merges are behind
            279,  # ALL_CONNECTION_TRIES_FAILED
            285,  # TOO_FEW_LIVE_REPLICAS
            286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
            319,  # UNKNOWN_STATUS_OF_INSERT
            394,  # QUERY_WAS_CANCELLED, by our own shutdown
            439,  # CANNOT_SCHEDULE_TASK
            516,  # AUTHENTICATION_FAILED
            667,  # NOT_INITIALIZED, a replica has not reached its keeper since it started
            745,  # SERVER_OVERLOADED
            999,  # KEEPER_EXCEPTION
        ),
        EngineUnavailable,
    ),
    **dict.fromkeys(
        (
            158,  # TOO_MANY_ROWS
            159,  # TIMEOUT_EXCEEDED
            160,  # TOO_SLOW
            191,  # SET_SIZE_LIMIT_EXCEEDED
            241,  # MEMORY_LIMIT_EXCEEDED
            307,  # TOO_MANY_BYTES
            396,  # TOO_MANY_ROWS_OR_BYTES
        ),
        QueryTooHeavy,
    ),
}

_MEMORY_LIMIT: Final = 241
_CODE: Final = re.compile(r"Code: (\d+)\. (?:DB::Exception: )?(.*)", re.DOTALL)
_VERSION: Final = re.compile(r" \(version [^)]*\)$")
_MAX_LENGTH: Final = 500


def from_text(text: str) -> EngineError:
    """The error for the engine's message: first line only, no stack trace, at most 500 characters."""
    found = _CODE.search(text)
    code = int(found[1]) if found else None
    message = (found[2] if found else text).split("Stack trace:")[0].strip().splitlines() or [
        "The engine gave no reason."
    ]
    return _class_of(code, text)(_VERSION.sub("", message[0])[:_MAX_LENGTH], code)


def _class_of(code: int | None, text: str) -> type[EngineError]:
    # Two causes have codes with another usual meaning: a full disk is reported under several codes, and the engine's
    # total memory limit has the same code as the limit of one query.
    if "No space left on device" in text or (code == _MEMORY_LIMIT and "(total)" in text):
        return EngineUnavailable
    return CLASS_BY_CODE.get(code or 0, EngineFault)
