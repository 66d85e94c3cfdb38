"""ClickHouse's schema: numbered files, applied once and in order, with a record of applied files.

A file is recorded as running before its first statement and as done after its last. An interrupted run stays visible
and is repeated, because every statement has IF NOT EXISTS. Retention and write durability are declared outside of the
files and set on every run where the live tables differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from fonproxy.clickhouse import cluster, retention
from fonproxy.clickhouse.address import DEFAULT_DATABASE
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.profiles import literal

DATABASE: Final = settings.CLICKHOUSE.database if settings.CLICKHOUSE else DEFAULT_DATABASE
SCHEMA: Final = settings.BASE_DIR.joinpath(*settings.CLICKHOUSE_SCHEMA.split("."))
SCRATCH: Final = f"{DATABASE}_declared"

STATE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {database}.schema_migrations
(
    name String,
    state Enum8('running' = 1, 'done' = 2),
    checksum String,
    at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (name, at)
""".strip()


class SchemaError(Exception):
    """The files contradict the record of applied files."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self, database: str) -> list[str]:
        """The statements of the migration for this database, without comments."""
        lines = (line for line in self.sql.splitlines() if not line.lstrip().startswith("--"))
        parts = [part.strip() for part in "\n".join(lines).split(";")]
        return [made for part in parts if part for made in cluster.statements(part, database)]


def migrations(directory: Path = SCHEMA) -> list[Migration]:
    """All files, sorted by number."""
    return [Migration(path.stem, path.read_text()) for path in sorted(directory.glob("[0-9]*.sql"))]


def pending(client: Client, directory: Path = SCHEMA) -> list[Migration]:
    """The files that have not been applied completely. Raises SchemaError if an applied file was changed afterwards."""
    applied = _applied(client)
    files = migrations(directory)
    for migration in files:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise SchemaError(
                f"{migration.name}.sql was changed after it had been applied: restore it, and make a new file."
            )
    if unknown := sorted(applied.keys() - {migration.name for migration in files}):
        raise SchemaError(f"The database is newer than this program, which has no file for {', '.join(unknown)}.")
    return [migration for migration in files if migration.name not in applied]


def plan(client: Client) -> list[str]:
    """The statements that ``migrate`` would run now."""
    waiting = pending(client)
    statements = [statement for migration in waiting for statement in migration.statements(DATABASE)]
    # Without tables there is nothing to compare; the run itself sets retention.
    return statements if waiting else statements + retention.alterations(client, DATABASE)


def migrate(client: Client, directory: Path = SCHEMA) -> list[str]:
    """Applies pending files, then sets retention and write durability. Returns the names of the applied files."""
    for statement in [*cluster.databases(DATABASE), *cluster.statements(STATE_TABLE, DATABASE)]:
        client.command(statement, tag="migrate")
    waiting = pending(client, directory)
    for migration in waiting:
        _record(client, migration, "running")
        for statement in migration.statements(DATABASE):
            client.command(statement, tag=f"migrate {migration.name}")
        _record(client, migration, "done")
    for statement in retention.alterations(client, DATABASE):
        client.command(statement, tag="migrate retention")
    return [migration.name for migration in waiting]


def differences(client: Client) -> list[str]:
    """The differences between the live schema and the declared one, built in a scratch database; empty when equal."""
    client.command(f"DROP DATABASE IF EXISTS {SCRATCH} SYNC", tag="differences")
    client.command(f"CREATE DATABASE {SCRATCH} ENGINE = Atomic", tag="differences")
    try:
        for migration in migrations():
            for statement in migration.statements(SCRATCH):
                client.command(statement, tag="differences")
        for statement in retention.alterations(client, SCRATCH):
            client.command(statement, tag="differences")
        live, declared = _described(client, DATABASE), _described(client, SCRATCH)
    finally:
        client.command(f"DROP DATABASE IF EXISTS {SCRATCH} SYNC", tag="differences")
    live.pop("schema_migrations", None)
    return list(_compare(live, declared))


def _applied(client: Client) -> dict[str, str]:
    """The checksum of every completely applied file, by name."""
    known = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'"
    if client.fetch(known, {"database": DATABASE}, tag="migrate") == [(0,)]:
        return {}
    done = f"SELECT name, argMax(checksum, at) FROM {DATABASE}.schema_migrations WHERE state = 'done' GROUP BY name"
    return dict(client.fetch(done, tag="migrate"))


def _record(client: Client, migration: Migration, state: str) -> None:
    values = ", ".join(literal(value) for value in (migration.name, state, migration.checksum))
    client.command(f"INSERT INTO {DATABASE}.schema_migrations (name, state, checksum) SELECT {values}", tag="migrate")


def _described(client: Client, database: str) -> dict[str, dict[str, Any]]:
    """The definition of each table: engine, keys, settings, columns, and the SELECT of a view."""
    tables = client.fetch(
        "SELECT name, engine_full, partition_key, sorting_key, primary_key, as_select FROM system.tables"
        " WHERE database = {database:String}",
        {"database": database},
        tag="differences",
    )
    columns = client.fetch(
        "SELECT table, groupArray(concat(name, ' ', type, ' ', default_kind, ' ', default_expression))"
        " FROM (SELECT * FROM system.columns WHERE database = {database:String} ORDER BY table, position)"
        " GROUP BY table",
        {"database": database},
        tag="differences",
    )
    by_table = dict(columns)
    facts = ("engine", "partition key", "sorting key", "primary key", "select")
    return {
        name: {
            "columns": by_table.get(name),
            **dict(zip(facts, (_without(database, str(value)) for value in values), strict=True)),
        }
        for name, *values in tables
    }


def _without(database: str, fact: str) -> str:
    """The text without the name of the database, which is also in a replicated table's path in Keeper."""
    return fact.replace(f"{database}.", "").replace(f"/{database}/", "/")


def _compare(live: dict[str, dict[str, Any]], declared: dict[str, dict[str, Any]]) -> Iterator[str]:
    for table in sorted(live.keys() | declared.keys()):
        if table not in declared:
            yield f"{table}: exists, but is not declared"
        elif table not in live:
            yield f"{table}: is declared, but does not exist"
        else:
            for fact, wanted in declared[table].items():
                if live[table][fact] != wanted:
                    yield f"{table}: its {fact} is {live[table][fact]!r}, declared {wanted!r}"
