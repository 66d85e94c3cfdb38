"""The interface to ClickHouse, and the choice between embedded engine and server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from django.conf import settings

from fonproxy import restore_lock
from fonproxy.clickhouse.errors import EngineUnavailable
from fonproxy.clickhouse.profiles import READ, Profile
from fonproxy.clickhouse.text import Value

if TYPE_CHECKING:
    import pyarrow as pa


class Client(Protocol):
    """An engine, safe to use from any number of threads. Methods raise ``EngineError``; ``ValueError`` for misuse."""

    def fetch(
        self, sql: str, params: Mapping[str, Value] | None = None, *, profile: Profile = READ, tag: str
    ) -> list[tuple[Any, ...]]:
        """The rows of one SELECT. Values are bound to ``{name:Type}``; ``sql`` has no FORMAT or SETTINGS of its own.

        ``tag`` names the calling code. Columns are int, float, str, bool, date, aware datetime, UUID, IPv4Address,
        IPv6Address, list or None. Raises ValueError for a naive datetime.
        """

    def stream(self, sql: str, *, profile: Profile, tag: str) -> Iterator[pa.RecordBatch]:
        """The rows of one SELECT as Arrow blocks, for more rows than fit into memory or than ``fetch`` may return.

        The calling thread must not use this client for anything else until all blocks are read.
        """

    def insert(self, table: str, columns: pa.Table, *, token: str) -> None:
        """Insert all rows as one block. The same table, rows and token again change nothing."""

    def command(self, sql: str, *, tag: str) -> None:
        """Run one statement without a result, such as DDL."""

    def cancel_all(self) -> None:
        """Stop every running statement and wait until they have stopped."""

    def close(self) -> None:
        """Stop running statements and release the engine. Later calls raise EngineUnavailable."""


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
    """Close this process's client, if it was opened. The next ``get_client`` opens a new one."""
    global _client
    with _lock:
        if _client is not None:
            _client.close()
            _client = None


def _open() -> Client:
    if complaint := restore_lock.complaint():
        raise EngineUnavailable(complaint)
    # Imported here, because each needs a large library that the other does not.
    if settings.CLICKHOUSE is not None:
        from fonproxy.clickhouse.native import NativeClient

        return NativeClient(settings.CLICKHOUSE)
    from fonproxy.clickhouse.embedded import EmbeddedClient

    return EmbeddedClient(settings.DATA_DIR / "clickhouse", settings.ENGINE_MEMORY_BYTES)
