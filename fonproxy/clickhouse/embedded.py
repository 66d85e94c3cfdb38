"""ClickHouse inside this process: chDB on its own directory."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from fonproxy.clickhouse import repair, text
from fonproxy.clickhouse.address import DEFAULT_DATABASE
from fonproxy.clickhouse.errors import EngineUnavailable, from_text
from fonproxy.clickhouse.profiles import (
    BLOCK_ROWS,
    INGEST,
    MIGRATE,
    READ,
    Profile,
    identifier,
    log_comment,
    settings_clause,
)
from fonproxy.clickhouse.text import Value
from fonproxy.clickhouse.timing import engine_call
from fonproxy.units import MIB

if TYPE_CHECKING:
    import pyarrow as pa
    from chdb.state.sqlitelike import Connection


MARK_CACHE_BYTES: Final = 256 * MIB
# How often the engine compares its count of allocated memory with the process's. Its own 50 ms cost 0.17 % of a core.
MEMORY_CHECK_MS: Final = 500
# Long enough for a killed query to notice; then the process ends anyway.
CLOSE_SECONDS: Final = 10.0
# No read takes longer.
DRAIN_SECONDS: Final = 35.0

# The format of results, which text.rows can read exactly.
ANSWER: Final[tuple[tuple[str, int | str], ...]] = (
    ("output_format_json_quote_64bit_integers", 0),
    ("output_format_json_quote_denormals", 1),
    ("date_time_output_format", "unix_timestamp"),
)
# The format of streamed blocks: strings as strings, with about this many rows.
STREAMED: Final[tuple[tuple[str, int | str], ...]] = (
    ("output_format_arrow_string_as_string", 1),
    ("output_format_arrow_low_cardinality_as_dictionary", 0),
)


class EmbeddedClient:
    """One engine over ``path``, shared by all threads of this process. Opening it repairs the directory first."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._lock_file = lock(path)
        self._url = (
            f"{path}?max_server_memory_usage={memory_bytes}&mark_cache_size={MARK_CACHE_BYTES}"
            f"&memory_worker_period_ms={MEMORY_CHECK_MS}"
        )
        self._state = threading.Condition()
        self._connections: dict[threading.Thread, Connection] = {}
        self._keeper: Connection | None = None
        self._running = 0
        self._paused = False
        self._closed = False
        self._inserting = threading.Lock()
        self._in_doubt = False
        try:
            self._start()
        except BaseException:
            self._lock_file.close()
            raise

    def _start(self) -> None:
        """Repair the directory and start the engine on it."""
        try:
            repair.repair(self._path)
        except OSError as error:
            raise EngineUnavailable(f"The data directory could not be repaired: {error.strerror}.") from error
        # Paused until the end: the engine stops with its last connection, and starting it costs time.
        self._keeper = keeper = self._connect("")
        try:
            # The engine's own `default` database is a read-through overlay, in which tables cannot be created.
            keeper.query(f"CREATE DATABASE IF NOT EXISTS {DEFAULT_DATABASE} ENGINE = Atomic")
        except RuntimeError as error:
            raise from_text(str(error)) from None

    def fetch(
        self, sql: str, params: Mapping[str, Value] | None = None, *, profile: Profile = READ, tag: str
    ) -> list[tuple[Any, ...]]:
        """See ``Client.fetch``."""
        bound = {name: text.parameter(value) for name, value in (params or {}).items()}
        settings = settings_clause((*ANSWER, ("log_comment", log_comment(tag)), *profile.settings))
        with engine_call(tag), self._connection() as connection:
            answer: bytes = connection.query(f"{sql}\nSETTINGS {settings}", "JSONCompact", params=bound).bytes()
        return text.rows(answer)

    def stream(self, sql: str, *, profile: Profile, tag: str) -> Iterator[pa.RecordBatch]:
        """See ``Client.stream``."""
        settings = settings_clause((*STREAMED, ("log_comment", log_comment(tag)), *profile.settings))
        with engine_call(tag), self._connection() as connection:
            # A further request of the same thread would share the connection, so the result is consumed or the
            # connection closed.
            yield from connection.send_query(f"{sql}\nSETTINGS {settings}", "Arrow").record_batch(BLOCK_ROWS)

    def insert(self, table: str, columns: pa.Table, *, token: str) -> None:
        """See ``Client.insert``. One at a time; after a failed insert the engine is restarted before the next.

        A target whose part could not be renamed into place, for example on a full disk, has already logged the token
        and would refuse the repeated batch. No other insert may come in between: a later part in the same partition
        could be merged across the gap, and the missing part would then look present.
        """
        if not token:
            raise ValueError("An insert needs a token: without one, equal batches of two callers count once.")
        settings = settings_clause(
            (("log_comment", log_comment(f"insert {table}")), ("insert_deduplication_token", token), *INGEST.settings)
        )
        names = ", ".join(identifier(name) for name in columns.column_names)
        with engine_call(f"insert {table}"), _arrow_file(columns) as name, self._inserting:
            if self._in_doubt:
                self._restart()
            self._in_doubt = True
            with self._connection() as connection:
                # Not the engine's streaming insert, which does not report a failed rename of a part.
                connection.query(
                    f"INSERT INTO {identifier(table)} ({names}) FROM INFILE '{name}'"
                    f" SETTINGS {settings} FORMAT ArrowStream"
                )
            self._in_doubt = False

    def command(self, sql: str, *, tag: str) -> None:
        """See ``Client.command``."""
        # DDL takes no settings of the session, so they are set first, on a connection that ends with the command.
        settings = settings_clause((("log_comment", log_comment(tag)), *MIGRATE.settings))
        with self._busy():
            connection = self._connect(DEFAULT_DATABASE)
            try:
                connection.query(f"SET {settings}")
                connection.query(sql)
            except RuntimeError as error:
                raise from_text(str(error)) from None
            finally:
                connection.close()

    def cancel_all(self) -> None:
        """See ``Client.cancel_all``."""
        with self._busy():
            self._kill()

    def close(self) -> None:
        """See ``Client.close``. The interpreter must not end while a query runs: the engine would crash."""
        with self._state:
            if self._closed:
                return
            self._closed = True
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._still_running() and time.monotonic() < deadline:
            self._kill()
            with self._state:
                self._state.wait_for(lambda: not self._running, timeout=0.1)
        self._stop()
        self._lock_file.close()

    def _stop(self) -> None:
        """Close every connection, and with the last one the engine."""
        with self._state:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            if self._keeper is not None:
                self._keeper.close()
                self._keeper = None

    def _restart(self) -> None:
        """Stop the engine between calls, repair its directory, start it again. Other calls wait."""
        with self._state:
            self._paused = True
            drained = self._state.wait_for(lambda: not self._running, timeout=DRAIN_SECONDS)
        try:
            if not drained:
                raise EngineUnavailable("The engine is waiting for running queries before it repairs itself.")
            self._stop()
            self._start()
            self._in_doubt = False
        finally:
            with self._state:
                self._paused = False
                self._state.notify_all()

    def _still_running(self) -> bool:
        with self._state:
            return self._running > 0

    def _kill(self) -> None:
        connection = self._connect("")
        try:
            connection.query("KILL QUERY WHERE NOT is_internal SYNC")
        except RuntimeError as error:
            raise from_text(str(error)) from None
        finally:
            connection.close()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Counts running calls, so that stopping the engine can wait for them."""
        with self._state:
            self._state.wait_for(lambda: not self._paused)
            if self._closed:
                raise EngineUnavailable("The engine of this process is closed.")
            self._running += 1
        try:
            yield
        finally:
            with self._state:
                self._running -= 1
                self._state.notify_all()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """This thread's own connection, because threads that share one mix up their parameters.

        It is closed after an error: the engine puts output of a failed query in front of the connection's next result,
        which may be for another account.
        """
        with self._busy():
            thread = threading.current_thread()
            connection = self._connections.get(thread) or self._adopt(thread)
            try:
                yield connection
            except BaseException as error:
                self._connections.pop(thread, connection).close()
                if isinstance(error, RuntimeError):
                    raise from_text(str(error)) from None
                raise

    def _adopt(self, thread: threading.Thread) -> Connection:
        """A new connection for this thread; connections of ended threads are closed."""
        connection = self._connect(DEFAULT_DATABASE)
        with self._state:
            for other in [one for one in self._connections if not one.is_alive()]:
                self._connections.pop(other).close()
            self._connections[thread] = connection
        return connection

    def _connect(self, database: str) -> Connection:
        # Imported here: the engine takes a second and 250 MB, and a process that imported it must not fork.
        from chdb.state.sqlitelike import Connection

        try:
            return Connection(f"{self._url}&database={database}" if database else self._url)
        except RuntimeError as error:
            raise from_text(str(error)) from None


def lock(path: Path) -> TextIO:
    """Locks the directory while the file is open; the kernel releases the lock when the process dies."""
    lock_file = path.with_name(f"{path.name}.lock").open("w")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.close()
        raise EngineUnavailable(
            f"Another FonProxy process is using the data in {path}: stop it, or choose another FONPROXY_DATA_DIR."
        ) from None
    return lock_file


@contextmanager
def _arrow_file(columns: pa.Table) -> Iterator[str]:
    """The path of an in-memory file with the table as one Arrow record batch, which the engine reads as one block."""
    import pyarrow as pa

    with os.fdopen(os.memfd_create("batch"), "wb") as file:
        with pa.ipc.new_stream(file, columns.schema) as writer:
            writer.write_table(columns.combine_chunks())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
