"""What the rest of the project may ask of ClickHouse, and the one place that decides which engine answers."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from django.conf import settings

from fonproxy.backup import marker
from fonproxy.clickhouse.errors import EngineUnavailable
from fonproxy.clickhouse.profiles import READ, Profile

if TYPE_CHECKING:
    import pyarrow as pa

Value = str | int | float | bool | datetime | date | Sequence[str] | Sequence[int] | None
"""A query parameter. Datetimes are aware; whole seconds for ``DateTime``, up to microseconds for ``DateTime64``."""


class Client(Protocol):
    """An engine, safe to use from any number of threads. Methods raise ``EngineError``; ``ValueError`` for misuse."""

    def fetch(
        self, sql: str, params: Mapping[str, Value] | None = None, *, profile: Profile = READ, tag: str
    ) -> list[tuple[Any, ...]]:
        """The rows of one SELECT. Values are bound to ``{name:Type}``; ``sql`` has no FORMAT or SETTINGS of its own.

        ``tag`` says which code asks. Columns come as int, float, str, bool, date, aware datetime, UUID,
        IPv4Address, IPv6Address, list or None. Raises ValueError for a naive datetime.
        """

    def insert(self, table: str, columns: pa.Table, *, token: str) -> None:
        """Insert all rows as one block. The same table, rows and token again change nothing."""

    def command(self, sql: str, *, tag: str) -> None:
        """Run one statement that answers nothing: DDL and the like."""

    def cancel_all(self) -> None:
        """Stop every running statement and wait until they have stopped."""

    def close(self) -> None:
        """Stop what runs and let go of the engine. Later calls raise EngineUnavailable."""


_client: Client | None = None
_lock = threading.Lock()


def get_client() -> Client:
    """This process's client, opened on first use: opening costs time and, embedded, locks the data directory."""
    global _client
    with _lock:
        if _client is None:
            _client = _open()
        return _client


def close_client() -> None:
    """Close this process's client, if it was ever opened. The next ``get_client`` opens a new one."""
    global _client
    with _lock:
        if _client is not None:
            _client.close()
            _client = None


def _open() -> Client:
    if complaint := marker.complaint():
        raise EngineUnavailable(complaint)
    # Each brings in what the other has no use for: an engine, or a driver.
    if settings.CLICKHOUSE is not None:
        from fonproxy.clickhouse.native import NativeClient

        return NativeClient(settings.CLICKHOUSE)
    from fonproxy.clickhouse.embedded import EmbeddedClient

    return EmbeddedClient(settings.DATA_DIR / "clickhouse", settings.ENGINE_MEMORY_BYTES)
