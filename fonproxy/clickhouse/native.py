"""ClickHouse as a server, over its native protocol."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, tzinfo
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import clickhouse_driver
from clickhouse_driver import errors as driver

from fonproxy.clickhouse import text
from fonproxy.clickhouse.address import Address
from fonproxy.clickhouse.errors import EngineError, EngineFault, EngineUnavailable, from_text
from fonproxy.clickhouse.profiles import INGEST, MIGRATE, READ, Profile, identifier, literal, log_comment
from fonproxy.clickhouse.text import Value
from fonproxy.clickhouse.timing import engine_call
from fonproxy.logs import query_ids

if TYPE_CHECKING:
    import pyarrow as pa


# How many statements may run at once in this process, and how long another one waits.
CONNECTIONS: Final = 64
WAIT_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
PING_SECONDS: Final = 2.0
# After a timeout, other calls fail at once for this time instead of waiting.
SILENCE_SECONDS: Final = 5.0
# The server enforces its limits; after these times it counts as lost.
GRACE_SECONDS: Final = 15.0
UNLIMITED_SECONDS: Final = 3600.0

UNKNOWN_DATABASE: Final = 81
REVISION: Final = 54460


class NativeClient:
    """Pooled connections to the servers of one address; another host is used when one is unavailable."""

    def __init__(self, address: Address, *, connections: int = CONNECTIONS, wait_seconds: float = WAIT_SECONDS) -> None:
        self._address = address
        self._wait_seconds = wait_seconds
        self._free = threading.BoundedSemaphore(connections)
        self._idle: deque[clickhouse_driver.Client] = deque()
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._silent_until = 0.0

    def fetch(
        self, sql: str, params: Mapping[str, Value] | None = None, *, profile: Profile = READ, tag: str
    ) -> list[tuple[Any, ...]]:
        """See ``Client.fetch``. If a server is lost during the query, another one is tried once."""
        bound = {name: _Quoted(text.parameter(value)) for name, value in (params or {}).items()}
        settings = _settings(profile, tag)

        def ask(client: clickhouse_driver.Client, query_id: str) -> list[tuple[Any, ...]]:
            rows, columns = client.execute(
                sql, bound or None, with_column_types=True, settings=settings, query_id=query_id
            )
            return _converted(rows, [type_ for _, type_ in columns])

        with engine_call(tag):
            try:
                rows: list[tuple[Any, ...]] = self._run(profile, ask)
            except _LostServer:
                rows = self._run(profile, ask)
            return rows

    def stream(self, sql: str, *, profile: Profile, tag: str) -> Iterator[pa.RecordBatch]:
        """See ``Client.stream``. A lost server ends it with an error."""
        with engine_call(tag), self._connection(profile) as client:
            yield from client.query_arrow_stream(sql, settings=_settings(profile, tag))

    def insert(self, table: str, columns: pa.Table, *, token: str) -> None:
        """See ``Client.insert``."""
        if not token:
            raise ValueError("An insert needs a token: without one, equal batches of two callers count once.")
        names = ", ".join(identifier(name) for name in columns.column_names)
        statement = f"INSERT INTO {identifier(table)} ({names}) VALUES"
        settings = {
            **_settings(INGEST, f"insert {table}"),
            "insert_deduplication_token": token,
            # The driver's own block size: everything is sent as one block.
            "insert_block_size": max(columns.num_rows, 1),
        }
        values = [_values(column) for column in columns.columns]
        if columns.num_rows:
            with engine_call(f"insert {table}"):
                self._run(
                    INGEST,
                    lambda client, query_id: client.execute(
                        statement, values, columnar=True, settings=settings, query_id=query_id
                    ),
                )

    def command(self, sql: str, *, tag: str) -> None:
        """See ``Client.command``."""
        settings = _settings(MIGRATE, tag)
        self._run(MIGRATE, lambda client, query_id: client.execute(sql, settings=settings, query_id=query_id))

    def cancel_all(self) -> None:
        """See ``Client.cancel_all``. Only this process's statements; unreachable servers are skipped."""
        with self._lock:
            running = sorted(self._running)
        if not running:
            return
        ids = ", ".join(literal(query_id) for query_id in running)
        for host in self._address.hosts:
            client = self._connect((host,))
            with suppress(driver.Error, OSError, EOFError):
                client.execute(f"KILL QUERY WHERE query_id IN ({ids}) SYNC")
            client.disconnect()

    def close(self) -> None:
        """See ``Client.close``."""
        self._closed = True
        self.cancel_all()
        with self._lock:
            while self._idle:
                self._idle.pop().disconnect()

    def _run(self, profile: Profile, ask: Callable[[clickhouse_driver.Client, str], Any]) -> Any:
        with self._connection(profile) as client:
            query_id = str(uuid4())
            if (asked := query_ids.get()) is not None:
                asked.append(query_id)
            with self._lock:
                self._running.add(query_id)
            try:
                return ask(client, query_id)
            finally:
                with self._lock:
                    self._running.discard(query_id)

    @contextmanager
    def _connection(self, profile: Profile) -> Iterator[clickhouse_driver.Client]:
        """A connection for this call; after an error it is closed."""
        if not self._free.acquire(timeout=self._wait_seconds):
            raise EngineUnavailable("All connections to ClickHouse are in use.")
        try:
            client = self._take()
            _set_timeout(client, profile)
            try:
                with _our_errors():
                    yield client
            except BaseException:
                client.disconnect()
                raise
            self._put_back(client)
        finally:
            self._free.release()

    def _take(self) -> clickhouse_driver.Client:
        with self._lock:
            if self._closed:
                raise EngineUnavailable("The connections of this process are closed.")
            if monotonic() < self._silent_until:
                raise EngineUnavailable("ClickHouse did not answer a moment ago.")
            idle = self._idle.pop() if self._idle else None
        # The driver checks too, but would reconnect with the timeout of a long statement.
        if idle is not None and _is_alive(idle):
            return idle
        client = self._connect(self._address.hosts, self._address.database)
        try:
            with _our_errors():
                _greet(client, len(self._address.hosts))
        except EngineError as error:
            client.disconnect()
            if error.code == driver.SocketTimeoutError.code:
                self._silent_until = monotonic() + SILENCE_SECONDS
            if error.code != UNKNOWN_DATABASE:
                raise
            self._create_database()
        return client

    def _put_back(self, client: clickhouse_driver.Client) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(client)
                return
        client.disconnect()

    def _create_database(self) -> None:
        client = self._connect(self._address.hosts)
        try:
            with _our_errors():
                client.execute(f"CREATE DATABASE IF NOT EXISTS {identifier(self._address.database)}")
        finally:
            client.disconnect()

    def _connect(self, hosts: tuple[tuple[str, int], ...], database: str = "") -> clickhouse_driver.Client:
        (host, port), *others = hosts
        return clickhouse_driver.Client(
            host,
            port,
            alt_hosts=",".join(f"[{name}]:{number}" if ":" in name else f"{name}:{number}" for name, number in others),
            database=database,
            user=self._address.user,
            password=self._address.password,
            secure=self._address.is_secure,
            client_name="fonproxy",
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=GRACE_SECONDS,
            sync_request_timeout=PING_SECONDS,
            compression="lz4",
            # The tested protocol version. In later ones servers send their time zone where the driver expects columns.
            client_revision=REVISION,
            tcp_keepalive=True,
            settings={"server_side_params": True},
        )


class _Quoted:
    """A quoted parameter, which the driver leaves alone because it does not know its type."""

    def __init__(self, parameter: str) -> None:
        self._parameter = parameter

    def __str__(self) -> str:
        return self._parameter.translate(_IN_QUOTES)


_IN_QUOTES: Final = str.maketrans({"\\": "\\\\", "'": "\\'"})


class _LostServer(EngineUnavailable):
    """The connection broke: another server, or the same one after a restart, may answer."""


@contextmanager
def _our_errors() -> Iterator[None]:
    """Maps the driver's errors to ours. Network errors mean that the engine is unavailable."""
    try:
        yield
    except driver.ServerException as error:
        raise from_text(f"Code: {error.code}. {error.message}") from None
    except (driver.TypeMismatchError, driver.UnknownTypeError, UnicodeError) as error:
        raise EngineFault(f"A value does not fit its column: {error}", getattr(error, "code", None)) from None
    except (driver.SocketTimeoutError, TimeoutError) as error:
        raise EngineUnavailable(f"ClickHouse did not answer in time: {error}", driver.SocketTimeoutError.code) from None
    except (driver.Error, OSError, EOFError) as error:
        raise _LostServer(f"The connection to ClickHouse broke: {error}", driver.NetworkError.code) from None


def _is_alive(client: clickhouse_driver.Client) -> bool:
    with suppress(driver.Error):
        if client.connection.ping():
            return True
    client.disconnect()
    return False


def _greet(client: clickhouse_driver.Client, hosts: int) -> None:
    """Connects. The driver tries the next host only on a socket error, not when a host closes the connection."""
    client.connection.send_receive_timeout = CONNECT_SECONDS
    for _ in range(hosts - 1):
        try:
            client.connection.connect()
            return
        except EOFError:
            client.connection.hosts.rotate(-1)
    client.connection.connect()


def _set_timeout(client: clickhouse_driver.Client, profile: Profile) -> None:
    limit = dict(profile.settings).get("max_execution_time", 0)
    seconds = float(limit) + GRACE_SECONDS if limit else UNLIMITED_SECONDS
    client.connection.send_receive_timeout = seconds
    if client.connection.socket is not None:
        client.connection.socket.settimeout(seconds)


def _settings(profile: Profile, tag: str) -> dict[str, Any]:
    return {**dict(profile.settings), "log_comment": log_comment(tag)}


def _values(column: pa.ChunkedArray[Any]) -> list[Any]:
    """A column in the form that the driver writes fastest: times as seconds, numbers without Arrow scalars."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        # Columns of seconds take seconds; columns of milliseconds, which only a move fills directly, take milliseconds.
        has_milliseconds = column.type.unit == "ms"
        zone = column.type.tz
        column = column.cast(pa.timestamp("ms", zone) if has_milliseconds else pa.timestamp("s", zone)).cast(pa.int64())
    if pa.types.is_integer(column.type) and not column.null_count:
        numbers: list[Any] = column.to_numpy().tolist()
        return numbers
    return column.to_pylist()


def _converted(rows: list[tuple[Any, ...]], types: list[str]) -> list[tuple[Any, ...]]:
    """The driver's values in the types that both engines return; its zones become those of the standard library."""
    converts = [_converter(type_) for type_ in types]
    if not any(converts):
        return rows
    return [
        tuple(value if convert is None else convert(value) for value, convert in zip(row, converts, strict=True))
        for row in rows
    ]


def _converter(type_: str) -> Callable[[Any], Any] | None:
    if text.converter(type_) is None:  # raises for an unreadable type
        return list if type_.startswith("Array(") else None
    zone = text.zone_of(type_)
    return None if zone is None else lambda value: _in_zone(value, zone)


def _in_zone(value: Any, zone: tzinfo) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone)
    return None if value is None else [_in_zone(item, zone) for item in value]
