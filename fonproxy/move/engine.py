"""Copies ClickHouse's tables between two engines, partition by partition.

A partition that is equal on both sides is left alone; any other is dropped in the target and copied again. So an
interrupted move continues, and a copy made ahead, while rows were still arriving, is completed by copying what has
changed since. Rows are compared as if all merges were done, so the layout of parts does not matter. Nothing is written
to the source.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from fonproxy.backup.consistency_check import MARKER
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.profiles import MOVE, literal
from fonproxy.clickhouse.text import WRAPPED
from fonproxy.move import MoveError

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that expire during the move are not compared, because either engine may have deleted them already.
MAX_DURATION: Final = timedelta(hours=6)

_DISTRIBUTED: Final = re.compile(r"Distributed\('([^']*)', '([^']*)', '([^']*)'")


@dataclass(frozen=True, slots=True)
class Engine:
    """One side: its client, and the database with the tables."""

    client: Client
    database: str


@dataclass(frozen=True, slots=True)
class PartitionDigest:
    """The number of rows, and the sums of their hashes and of their counts."""

    rows: int
    hashes: int
    counted: int

    def __add__(self, other: PartitionDigest) -> PartitionDigest:
        hashes = (self.hashes + other.hashes) % 2**64
        return PartitionDigest(self.rows + other.rows, hashes, self.counted + other.counted)


NONE: Final = PartitionDigest(0, 0, 0)
Partitions = dict[int, PartitionDigest]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the source, in the form needed by queries."""

    name: str
    columns: tuple[tuple[str, str], ...]
    partition: str
    final: str

    @property
    def names(self) -> str:
        return ", ".join(name for name, _ in self.columns)

    @property
    def hashed(self) -> str:
        """All columns as arguments of a hash, which is NULL if one of them is."""
        return ", ".join(
            f"isNull({name}), ifNull({name}, 0)" if type_.startswith("Nullable(") else name
            for name, type_ in self.columns
        )

    @property
    def portable(self) -> str:
        """All columns in forms that both engines write and read in the same way."""
        return ", ".join(_portable(name, _bare(type_)) for name, type_ in self.columns)


def tables(source: Engine) -> list[Table]:
    """Every table with rows."""
    found = source.client.fetch(
        "SELECT name, partition_key, engine_full FROM system.tables WHERE database = {database:String}",
        {"database": source.database},
        tag="move",
    )
    columns = defaultdict(list)
    for table, name, type_ in source.client.fetch(
        "SELECT table, name, type FROM system.columns WHERE database = {database:String} ORDER BY table, position",
        {"database": source.database},
        tag="move",
    ):
        columns[table].append((name, type_))
    known = {name: (partition, engine) for name, partition, engine in found}
    made = []
    for name in retention.declared():
        partition, engine = known[name]
        if _DISTRIBUTED.match(engine):
            raise MoveError("A cluster cannot be moved: its rows are in the databases of its shards.")
        collapses = "SummingMergeTree" in engine or "AggregatingMergeTree" in engine
        made.append(Table(name, tuple(columns[name]), partition, "FINAL" if collapses else ""))
    return made


def schema(engine: Engine) -> dict[str, str]:
    """The completely applied files and their checksums; empty without tables."""
    if not _has(engine, "schema_migrations"):
        return {}
    return dict(
        engine.client.fetch(
            f"SELECT name, argMax(checksum, at) FROM {engine.database}.schema_migrations WHERE state = 'done'"
            " GROUP BY name",
            profile=MOVE,
            tag="move",
        )
    )


def refuse_rows(target: Engine) -> None:
    """Raises MoveError when the target has rows that this move did not copy."""
    known = target.client.fetch(
        "SELECT name FROM system.tables WHERE database = {database:String}", {"database": target.database}, tag="move"
    )
    for name in {name for (name,) in known} & retention.declared().keys():
        if target.client.fetch(f"SELECT 1 FROM {target.database}.{name} LIMIT 1", profile=MOVE, tag="move"):
            raise MoveError("The target ClickHouse has rows, which are not overwritten: name an empty database.")


def begin(target: Engine, origin: str) -> None:
    """Marks the target as incomplete, with rows of ``origin``; no process uses it until ``end``."""
    target.client.command(
        f"CREATE TABLE IF NOT EXISTS {target.database}.{MARKER} (origin String) ENGINE = MergeTree ORDER BY origin",
        tag="move",
    )
    target.client.command(f"INSERT INTO {target.database}.{MARKER} SELECT {literal(origin)}", tag="move")


def is_begun(target: Engine, origin: str) -> bool:
    """Whether a move to this target was interrupted. Raises MoveError if it was from another installation."""
    if not _has(target, MARKER):
        return False
    if target.client.fetch(
        f"SELECT origin FROM {target.database}.{MARKER} WHERE origin != {literal(origin)}", tag="move"
    ):
        raise MoveError("A move of another installation to this ClickHouse was interrupted: name an empty database.")
    return True


def end(target: Engine) -> None:
    """Marks the target as complete and usable."""
    target.client.command(f"DROP TABLE IF EXISTS {target.database}.{MARKER} SYNC", tag="move")


def digest(engine: Engine, table: Table, now: datetime) -> Partitions:
    """The digest of each partition with unexpired rows, over the rows that do not expire during the move."""
    moment = f"toDateTime({retention.declared()[table.name].column}, 'UTC')"
    lasts = f"{moment} >= {{lasts:DateTime('UTC')}}"
    found: defaultdict[int, PartitionDigest] = defaultdict(lambda: NONE)
    for partition, *sums in engine.client.fetch(
        f"SELECT {table.partition} AS place, countIf({lasts}), sumIf(cityHash64({table.hashed}), {lasts}),"
        f" sumIf(count, {lasts}) FROM {engine.database}.{table.name} {table.final}"
        f" WHERE {moment} >= {{since:DateTime('UTC')}} GROUP BY place",
        {"since": retention.floor(table.name, now), "lasts": retention.floor(table.name, now + MAX_DURATION)},
        profile=MOVE,
        tag="move",
    ):
        found[partition] += PartitionDigest(*sums)
    return dict(found)


def to_copy(here: Partitions, there: Partitions) -> list[int]:
    """The partitions that differ in the target, oldest first, including those that an erasure has emptied here."""
    return sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))


def differing(here: Partitions, there: Partitions) -> list[int]:
    """The partitions that differ; rows that expired in the meantime may be missing."""
    return sorted(key for key in here.keys() | there.keys() if here.get(key, NONE) != there.get(key, NONE))


def copy(source: Engine, target: Engine, table: Table, partition: int) -> int:
    """Replaces the partition in the target; returns the number of rows.

    After an interruption it differs and is copied again.
    """
    _drop(target, table, partition)
    rows = 0
    sql = (
        f"SELECT {table.portable} FROM {source.database}.{table.name} {table.final}"
        f" WHERE {table.partition} = {partition}"
    )
    for block in source.client.stream(sql, profile=MOVE, tag="move"):
        target.client.insert(table.name, _renamed(block, table), token=f"move {uuid4()}")
        rows += block.num_rows
    return rows


def _drop(target: Engine, table: Table, partition: int) -> None:
    [(engine,)] = target.client.fetch(
        "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        {"database": target.database, "name": table.name},
        tag="move",
    )
    place = f"{target.database}.{table.name}"
    if spread := _DISTRIBUTED.match(engine):
        cluster, database, name = spread.groups()
        place = f"{database}.{name} ON CLUSTER {literal(cluster)}"
    target.client.command(f"ALTER TABLE {place} DROP PARTITION {partition}", tag="move")


def _has(engine: Engine, table: str) -> bool:
    sql = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {name:String}"
    return engine.client.fetch(sql, {"database": engine.database, "name": table}, tag="move") == [(1,)]


def _bare(type_: str) -> str:
    while wrapped := WRAPPED.fullmatch(type_):
        type_ = wrapped[1]
    return type_


def _portable(name: str, type_: str) -> str:
    if type_.startswith("DateTime64("):
        return f"toUnixTimestamp64Milli({name})"
    if type_.startswith("DateTime("):
        return f"toUnixTimestamp({name})"
    return f"toString({name})" if type_ in ("UUID", "IPv6") else name


def _renamed(block: pa.RecordBatch, table: Table) -> pa.Table:
    """The block with the columns' names, and times of milliseconds in that type."""
    import pyarrow as pa

    columns = []
    for column, (_, type_) in zip(block.columns, table.columns, strict=True):
        is_moment = _bare(type_).startswith("DateTime64(")
        columns.append(column.cast(pa.timestamp("ms", tz="UTC")) if is_moment else column)
    return pa.table(columns, names=[name for name, _ in table.columns])
