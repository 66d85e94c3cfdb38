"""Copies every table of the relational store between any two databases, in one transaction of the target.

Values pass as Python objects, read by the models' fields here and prepared by them there. The counters of ids are
copied too, so that ids of deleted rows are not reused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec
from django.apps import apps
from django.db import DatabaseError, DataError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.models import AutoField, Model

from fonproxy.move import MoveError

TARGET: Final = "target"
# The tables that `migrate` itself fills in a new store.
SEEDED: Final = frozenset({"contenttypes.ContentType", "auth.Permission", "analytics.IngestPause"})
ROWS_AT_ONCE: Final = 2000

_json: Final = msgspec.json.Encoder(order="deterministic", enc_hook=str)


@dataclass(frozen=True, slots=True)
class TableDigest:
    """The number of rows of a table, and the sum of their hashes, which is equal for equal rows in any order."""

    rows: int = 0
    sum: int = 0


Progress = Callable[[str, int], None]


def add_target(config: dict[str, Any]) -> BaseDatabaseWrapper:
    """Registers this database as ``TARGET`` and returns its connection."""
    complete = connections.configure_settings({**connections.settings, TARGET: config})
    connections.settings[TARGET] = complete[TARGET]
    return connections[TARGET]


def tables() -> list[type[Model]]:
    """The models of all tables, including automatic many-to-many tables."""
    return [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]


def refuse_behind() -> None:
    """Raises MoveError if the source lacks a migration, because the target will have all of them."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MoveError("The installation is of an older version: run migrate and clickhouse_migrate, or serve, first.")


def refuse_in_use() -> None:
    """Raises MoveError while other processes are connected to the source. SQLite has no list of them."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        [others] = cursor.fetchone()
    if others:
        raise MoveError(
            f"{others} other connections to the database are open: stop every FonProxy process first, or copy most of"
            " it beforehand with --ahead."
        )


@contextmanager
def frozen() -> Iterator[None]:
    """Within this context nothing is written to the source, and all reads are of one instant."""
    with transaction.atomic():  # on SQLite it takes the only write lock
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                names = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in tables())
                cursor.execute(f"LOCK TABLE {names} IN SHARE MODE")
        yield


def holds_data() -> bool:
    """Whether the target has more than ``migrate`` writes."""
    return any(model._base_manager.using(TARGET).exists() for model in tables() if model._meta.label not in SEEDED)


def digests(alias: str) -> dict[str, TableDigest]:
    """The digest of every table."""
    return {model._meta.db_table: _digest(_rows(model, alias)) for model in tables()}


def copy(progress: Progress) -> dict[str, TableDigest]:
    """Fills the target completely or not at all, and returns its digests. Raises MoveError if a row differs."""
    found = {}
    with transaction.atomic(using=TARGET):
        _clear_seeded()
        for model in tables():
            table = model._meta.db_table
            sent = _Counted(_rows(model, "default"))
            try:
                _write(model, sent)
            except (DataError, DatabaseError) as fault:
                raise MoveError(f"A row of {table} does not fit the target: {str(fault).strip()}") from None
            found[table] = _digest(_rows(model, TARGET))
            if found[table] != sent.digest:
                raise MoveError(
                    f"{table} differs after copying: {sent.digest.rows} rows here, {found[table].rows} there."
                )
            progress(table, sent.digest.rows)
        connections[TARGET].check_constraints()
        _write_counters(_read_counters())
    return found


class _Counted:
    """Iterates over the rows, and has their digest at the end."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows = rows
        self.digest = TableDigest()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        count = total = 0
        for row in self._rows:
            count, total = count + 1, total + _hash(row)
            yield row
        self.digest = TableDigest(count, total % 2**64)


def _digest(rows: Iterator[tuple[Any, ...]]) -> TableDigest:
    counted = _Counted(rows)
    for _ in counted:
        pass
    return counted.digest


def _hash(row: tuple[Any, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(_json.encode(row), digest_size=8).digest())


def _rows(model: type[Model], alias: str) -> Iterator[tuple[Any, ...]]:
    names = [field.attname for field in model._meta.concrete_fields]
    rows = model._base_manager.using(alias).order_by("pk").values_list(*names)
    return iter(rows.iterator(chunk_size=ROWS_AT_ONCE))


def _clear_seeded() -> None:
    with connections[TARGET].cursor() as cursor:
        for model in reversed(tables()):
            if model._meta.label in SEEDED:
                cursor.execute(f"DELETE FROM {connections[TARGET].ops.quote_name(model._meta.db_table)}")


def _write(model: type[Model], rows: _Counted) -> None:
    target = connections[TARGET]
    fields = model._meta.concrete_fields
    name = target.ops.quote_name
    table, columns = name(model._meta.db_table), ", ".join(name(field.column or "") for field in fields)
    prepared = (
        [field.get_db_prep_save(value, target) for field, value in zip(fields, row, strict=True)] for row in rows
    )
    with target.cursor() as cursor:
        if target.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as stream:
                for row in prepared:
                    stream.write_row(row)
        else:
            sql = f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(fields))})"
            for some in _batched(prepared):
                cursor.executemany(sql, some)


def _batched(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    while some := list(islice(rows, ROWS_AT_ONCE)):
        yield some


def _numbered() -> list[tuple[str, str]]:
    """Table and column of every id that the database generates."""
    return [
        (model._meta.db_table, model._meta.pk.column or "")
        for model in tables()
        if isinstance(model._meta.pk, AutoField)
    ]


def _read_counters() -> dict[str, int]:
    """The last generated id in each table of the source, even if its row was deleted."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, seq FROM sqlite_sequence")
            given = dict(cursor.fetchall())
            return {table: given.get(table, 0) for table, _ in _numbered()}
        last = {}
        for table, column in _numbered():
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [table, column])
            [sequence] = cursor.fetchone()
            cursor.execute(f"SELECT last_value, is_called FROM {sequence}")
            value, is_called = cursor.fetchone()
            last[table] = value if is_called else 0
        return last


def _write_counters(last: dict[str, int]) -> None:
    with connections[TARGET].cursor() as cursor:
        for table, column in _numbered():
            if connections[TARGET].vendor == "sqlite":
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, last[table]])
            else:
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
                    [table, column, max(last[table], 1), last[table] > 0],
                )
