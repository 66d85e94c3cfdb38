"""A small server that speaks ClickHouse's native protocol and lets chDB do the work, for tests of the driver's path.

    python -m tests.clickhouse_server [ADDRESS:]PORT DIRECTORY [PORT_OF_A_SHARD …]

With the ports of all shards, its own among them, it is one server of the cluster `usage`: chDB spreads rows over the
shards and gathers answers from them, as any ClickHouse does, by what is spoken here. Two things are missing. Without
Keeper, a statement for the whole cluster is handed on from here, and tables are not replicated. And chDB cannot be told
to stop in the middle of a query, so aggregates over several shards that are to be put together are refused.

It knows as much of the protocol as the driver uses at the revision that it announces: settings and parameters as text,
compressed blocks, inserts, errors, cancelled queries. The driver's own classes do the framing.
"""

from __future__ import annotations

import os
import re
import socket
import socketserver
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from chdb.state.sqlitelike import Connection
from clickhouse_driver import Client
from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.bufferedreader import BufferedSocketReader, CompressedBufferedReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter, CompressedBufferedWriter
from clickhouse_driver.compression import get_compressor_cls
from clickhouse_driver.context import Context
from clickhouse_driver.errors import ServerException
from clickhouse_driver.protocol import ClientPacketTypes as Sent
from clickhouse_driver.protocol import ServerPacketTypes as Told
from clickhouse_driver.reader import read_binary_str, read_binary_uint8, read_binary_uint64
from clickhouse_driver.streams.compressed import CompressedBlockInputStream, CompressedBlockOutputStream
from clickhouse_driver.streams.native import BlockInputStream, BlockOutputStream
from clickhouse_driver.varint import read_varint, write_varint
from clickhouse_driver.writer import write_binary_int32, write_binary_str, write_binary_uint8

from tests import keeper

REVISION: Final = 54460
PASSWORD: Final = "correct horse"
WRONG_PASSWORD: Final = 516
UNKNOWN_DATABASE: Final = 81
UNKNOWN_EXCEPTION: Final = 1002

_CODE: Final = re.compile(r"Code: (\d+)\. (?:DB::Exception: )?(.*)", re.DOTALL)
_INSERT: Final = re.compile(r"INSERT INTO ([\w.]+) \((.*)\) (?:VALUES|FORMAT Native)", re.IGNORECASE)
_KILL: Final = re.compile(r"KILL QUERY WHERE query_id IN \((.*)\) SYNC")
_ON_CLUSTER: Final = re.compile(r" ON CLUSTER 'usage'")
_REPLICATED: Final = re.compile(r"ENGINE = Replicated(\w*)MergeTree\('[^']*', '[^']*'(?:, )?")
_WINDOW: Final = re.compile(
    r"(?<!non_)replicated_deduplication_window = \d+, replicated_deduplication_window_seconds = \d+"
)
_READ: Final = re.compile(r"\s*(SELECT|WITH|EXPLAIN)\b", re.IGNORECASE)
# One write can be followed by another's only when it is known to be complete; see the embedded client. By database:
# rows for all shards of a cluster go on to the tables of this one.
_inserting: Final[defaultdict[str, threading.Lock]] = defaultdict(threading.Lock)
TABLES_STATUS_REQUEST: Final = 5
TABLES_STATUS_RESPONSE: Final = 9
COMPLETE: Final = 2
TCP: Final = 1
NOT_IMPLEMENTED: Final = 48


CLUSTER: Final = "<tcp_port>1</tcp_port><remote_servers><usage>{}</usage></remote_servers>"
SHARD: Final = (
    "<shard><internal_replication>true</internal_replication>"
    "<replica><host>127.0.0.1</host><port>{}</port></replica></shard>"
)


class QueryRefused(Exception):
    """Sent to the client as an exception packet."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Info:
    """What the driver's streams need from a server."""

    def __init__(self, revision: int) -> None:
        self.used_revision = revision
        self.session_timezone = None

    def get_timezone(self) -> str:
        return "UTC"


def _context(revision: int) -> Context:
    context = Context()
    context.server_info = _Info(revision)
    context.client_settings = {
        "strings_as_bytes": True,
        "strings_encoding": "utf-8",
        "use_numpy": False,
        "input_format_null_as_default": False,
        "namedtuple_as_json": True,
    }
    context.settings = {}
    return context


class ClientConnection(socketserver.BaseRequestHandler):
    """One client's connection, with its own engine connection."""

    server: StandInServer

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fin, self.fout = BufferedSocketReader(self.request, 2**20), BufferedSocketWriter(self.request, 2**20)
        context = _context(REVISION)
        self.blocks_in = CompressedBlockInputStream(self.fin, context)
        self.blocks_out = CompressedBlockOutputStream(get_compressor_cls("lz4"), 2**20, self.fout, context)
        self.plain_out = BlockOutputStream(self.fout, context)
        self.engine: Connection | None = None
        try:
            self._converse()
        except (EOFError, OSError):
            pass  # the client hung up
        finally:
            if self.engine is not None:
                self.engine.close()

    def _converse(self) -> None:
        try:
            self._hello()
        except QueryRefused as refusal:
            self._refuse(refusal)
            return
        while True:
            packet = read_varint(self.fin)
            if packet == Sent.PING:
                write_varint(Told.PONG, self.fout)
                self.fout.flush()
            elif packet == Sent.QUERY:
                try:
                    self._query()
                except QueryRefused as refusal:
                    self._refuse(refusal)
            elif packet == TABLES_STATUS_REQUEST:
                self._tell_status()
            # CANCEL that came after the end needs no answer.

    def _hello(self) -> None:
        read_varint(self.fin)
        read_binary_str(self.fin)
        for _ in ("major", "minor", "revision"):
            read_varint(self.fin)
        self.database, _user, password = (read_binary_str(self.fin) for _ in range(3))
        if password not in ("", PASSWORD):
            raise QueryRefused(WRONG_PASSWORD, "Authentication failed.")
        if self.database and self.database not in self.server.databases():
            raise QueryRefused(UNKNOWN_DATABASE, f"Database {self.database} does not exist.")
        write_varint(Told.HELLO, self.fout)
        write_binary_str("ClickHouse", self.fout)
        for number in (26, 9, REVISION):
            write_varint(number, self.fout)
        for text in ("UTC", "test"):
            write_binary_str(text, self.fout)
        write_varint(0, self.fout)
        self.fout.flush()
        read_binary_str(self.fin)  # the quota key

    def _tell_status(self) -> None:
        """Reports that no table is replicated, and no delay."""
        tables = [(read_binary_str(self.fin), read_binary_str(self.fin)) for _ in range(read_varint(self.fin))]
        write_varint(TABLES_STATUS_RESPONSE, self.fout)
        write_varint(len(tables), self.fout)
        for names in tables:
            for name in names:
                write_binary_str(name, self.fout)
            write_binary_uint8(0, self.fout)
        self.fout.flush()

    def _refuse(self, refusal: QueryRefused) -> None:
        write_varint(Told.EXCEPTION, self.fout)
        write_binary_int32(refusal.code, self.fout)
        for text in ("DB::Exception", str(refusal), "a stack trace that nobody shall see"):
            write_binary_str(text, self.fout)
        write_binary_uint8(0, self.fout)
        self.fout.flush()

    def _query(self) -> None:
        query_id = read_binary_str(self.fin)
        self._client_info()
        settings = dict(self._settings())
        read_binary_str(self.fin)  # the secret between servers
        stage = read_varint(self.fin)
        read_varint(self.fin)  # always compressed
        sql = read_binary_str(self.fin)
        # They are quoted, and escaped once more than the in-process engine expects.
        params = {name: _unquoted(value) for name, value in self._settings()}
        while self._receive().num_columns:
            pass  # what servers tell one another beside a query: here it is not needed
        if stage != COMPLETE:
            raise QueryRefused(NOT_IMPLEMENTED, f"This server answers no query up to stage {stage} only.")
        settings["network_compression_method"] = "LZ4"  # among servers; it is what the driver can read
        # The engine in this process gives queries ids of its own: the client's travels in a setting of no effect here.
        settings["query_cache_tag"] = query_id
        if insert := _INSERT.fullmatch(sql.strip()):
            self._insert(insert[1], insert[2], settings)
        elif kill := _KILL.fullmatch(sql):
            self._kill(kill[1])
        elif _READ.match(sql):
            self._answer(sql, settings, params)
        else:
            self._command(sql, settings)
        write_varint(Told.END_OF_STREAM, self.fout)
        self.fout.flush()

    def _client_info(self) -> None:
        read_binary_uint8(self.fin)
        for _ in ("user", "query id", "address"):
            read_binary_str(self.fin)
        read_binary_uint64(self.fin)
        is_by_tcp = read_binary_uint8(self.fin) == TCP  # a server within a process says less about itself
        if is_by_tcp:
            for _ in ("os user", "host", "name"):
                read_binary_str(self.fin)
            for _ in ("major", "minor", "revision"):
                read_varint(self.fin)
        read_binary_str(self.fin)
        for _ in ("depth", "patch") if is_by_tcp else ("depth",):
            read_varint(self.fin)
        read_binary_uint8(self.fin)  # no tracing
        for _ in ("collaborate", "participants", "number"):
            read_varint(self.fin)

    def _settings(self) -> Iterator[tuple[str, str]]:
        while name := read_binary_str(self.fin):
            read_binary_uint8(self.fin)
            yield name, read_binary_str(self.fin)

    def _receive(self) -> ColumnOrientedBlock:
        read_varint(self.fin)
        read_binary_str(self.fin)
        return self.blocks_in.read()

    def _answer(self, sql: str, settings: dict[str, str], params: dict[str, str]) -> None:
        """The engine's blocks, framed as this revision has them, behind one that says only names and types."""
        with_settings = f"{sql}\nSETTINGS {_clause(settings)}" if settings else sql
        chunks = iter((self._run(with_settings, params), b""))
        source = BlockInputStream(CompressedBufferedReader(lambda: next(chunks), 2**20), _context(0))
        columns: list[tuple[str, str]] = []
        with suppress(EOFError):
            while block := source.read():
                if not columns:
                    columns = self._with_zones(block.columns_with_types, sql, params)
                    self._send_header(columns)
                self._send(ColumnOrientedBlock(columns, [[_aware(value) for value in column] for column in block.data]))

    def _with_zones(self, columns: list[tuple[str, str]], sql: str, params: dict[str, str]) -> list[tuple[str, str]]:
        """At revision 0 a time's type comes without its zone: then the engine is asked again."""
        if not any("DateTime" in type_ for _, type_ in columns):
            return columns
        described = self._run(f"DESCRIBE ({sql})", params, "TSVRaw").decode().splitlines()
        return [(name, line.split("\t")[1]) for (name, _), line in zip(columns, described, strict=True)]

    def _send(self, block: ColumnOrientedBlock) -> None:
        write_varint(Told.DATA, self.fout)
        write_binary_str("", self.fout)
        self.blocks_out.write(block)

    def _insert(self, table: str, names: str, settings: dict[str, str]) -> None:
        wanted = [name.strip() for name in names.split(",")]
        database, _, name = table.rpartition(".")
        database = database or self.database
        types = dict(self.server.column_types(database, name))
        if not types:
            raise QueryRefused(60, f"Unknown table {table}.")
        if unknown := [name for name in wanted if name not in types]:
            raise QueryRefused(16, f"No such column {unknown[0]} in table {table}.")
        self._send_header([(name, types[name]) for name in wanted])
        received = BytesIO()
        native = BlockOutputStream(CompressedBufferedWriter(received, 2**20), _context(0))
        while True:
            block = self._receive()
            if block.num_rows:
                native.write(ColumnOrientedBlock(block.columns_with_types, [list(column) for column in block.data]))
            self._send_profile_events()
            if not block.num_rows:
                break
        settings.pop("insert_block_size", None)
        with _inserting[database], os.fdopen(os.memfd_create("block"), "wb") as file:
            file.write(received.getvalue())
            file.flush()
            self._run(
                f"INSERT INTO {table} ({names}) FROM INFILE '/proc/self/fd/{file.fileno()}'"
                f" SETTINGS {_clause(settings)} FORMAT Native",
                {},
            )

    def _send_header(self, columns: list[tuple[str, str]]) -> None:
        """A block without rows: names, types and a byte each, but no column bodies."""
        write_varint(Told.DATA, self.fout)
        write_binary_str("", self.fout)
        out = self.blocks_out.fout
        BlockInfo().write(out)
        write_varint(len(columns), out)
        write_varint(0, out)
        for name, type_ in columns:
            write_binary_str(name, out)
            write_binary_str(type_, out)
            write_binary_uint8(0, out)
        self.blocks_out.finalize()

    def _send_profile_events(self) -> None:
        write_varint(Told.PROFILE_EVENTS, self.fout)
        write_binary_str("", self.fout)
        self.plain_out.write(ColumnOrientedBlock())

    def _kill(self, ids: str) -> None:
        engine = self.server.connect("")
        try:
            engine.query(f"KILL QUERY WHERE Settings['query_cache_tag'] IN ({ids}) SYNC")
        finally:
            engine.close()

    def _command(self, sql: str, settings: dict[str, str]) -> None:
        """On a connection of its own: DDL has no SETTINGS, and those that are set stay."""
        if _ON_CLUSTER.search(sql):
            self._hand_on(_alone(sql), settings)
            return
        engine = self.server.connect(self.database)
        try:
            if settings:
                engine.query(f"SET {_clause(settings)}")
            engine.query(sql)
        except RuntimeError as error:
            raise _refused(error) from None
        finally:
            engine.close()

    def _hand_on(self, sql: str, settings: dict[str, str]) -> None:
        for port in self.server.shards:
            with Client("127.0.0.1", port, compression="lz4", client_revision=REVISION) as client:
                try:
                    client.execute(sql, settings=settings)
                except ServerException as error:
                    raise QueryRefused(error.code, error.message) from None

    def _run(self, sql: str, params: dict[str, str], answer_format: str = "Native") -> bytes:
        engine = self.engine or self.server.connect(self.database)
        self.engine = None  # an engine connection that saw an error is not used again
        try:
            answer: bytes = engine.query(sql, answer_format, params=params).bytes()
        except RuntimeError as error:
            engine.close()
            raise _refused(error) from None
        self.engine = engine
        return answer


def _alone(sql: str) -> str:
    """The statement for one server without Keeper."""
    sql = _REPLICATED.sub(r"ENGINE = \1MergeTree(", _ON_CLUSTER.sub("", sql))
    return _WINDOW.sub("non_replicated_deduplication_window = 10000", sql)


def _aware(value: Any) -> Any:
    """Times without a zone are in the server's, which is UTC."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _refused(error: RuntimeError) -> QueryRefused:
    found = _CODE.search(str(error))
    return QueryRefused(int(found[1]), found[2]) if found else QueryRefused(UNKNOWN_EXCEPTION, str(error))


def _clause(settings: dict[str, str]) -> str:
    quoted = ((name, value.replace("\\", "\\\\").replace("'", "\\'")) for name, value in settings.items())
    return ", ".join(f"{name} = '{value}'" for name, value in quoted)


_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_MEANT: Final = {"b": "\b", "f": "\f", "r": "\r", "n": "\n", "t": "\t", "0": "\0", "a": "\a", "v": "\v"}


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), text[1:-1])


class StandInServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], directory: Path, shards: list[int]) -> None:
        self.shards = shards
        config = _config(directory, shards)
        self.url = f"{directory}?max_server_memory_usage={4 * 2**30}&config-file={config}"
        self.keeper = self.connect("")  # the engine stops with its last connection
        super().__init__(address, ClientConnection)

    def connect(self, database: str) -> Connection:
        return Connection(f"{self.url}&database={database}" if database else self.url)

    def databases(self) -> list[str]:
        engine = self.connect("")
        try:
            return str(engine.query("SELECT name FROM system.databases", "TSV")).split()
        finally:
            engine.close()

    def column_types(self, database: str, table: str) -> list[tuple[str, str]]:
        engine = self.connect("")
        try:
            found = engine.query(
                "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}",
                "TSVRaw",
                params={"database": database, "table": table},
            )
            return [(name, type_) for name, type_ in (line.split("\t") for line in str(found).splitlines())]
        finally:
            engine.close()


# As ops/clickhouse/backups.xml says it to a server.
_CONFIG: Final = """
<clickhouse>
    <storage_configuration><disks><backups><type>local</type><path>{path}/</path></backups></disks></storage_configuration>
    <backups><allowed_disk>backups</allowed_disk></backups>
    {cluster}
    {zookeeper}
</clickhouse>
"""


def _config(directory: Path, shards: list[int]) -> Path:
    """The cluster, if any; and a disk for backups beside the data, which servers that come after can read."""
    disk, file = directory.with_name("backups"), directory.with_name("backups.xml")
    disk.mkdir(exist_ok=True)
    cluster = CLUSTER.format("".join(SHARD.format(shard) for shard in shards)) if shards else ""
    file.write_text(_CONFIG.format(path=disk, cluster=cluster, zookeeper=keeper.config(directory)))
    return file


def main(address: tuple[str, int], directory: Path, shards: list[int]) -> None:
    from fonproxy.clickhouse.repair import repair

    directory.mkdir(parents=True, exist_ok=True)
    repair(directory)
    if keeper.config(directory):
        keeper.give_an_address()
    with StandInServer(address, directory, shards) as server:
        print("listening", flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    main((host or "127.0.0.1", int(port)), Path(sys.argv[2]), [int(port) for port in sys.argv[3:]])
