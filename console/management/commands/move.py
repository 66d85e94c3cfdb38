"""``manage.py move``: copies this installation's stores into new ones of another kind."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections
from django.utils import timezone

from analytics.ingest import flusher, journal, pause
from fonproxy.backup import BackupError, embedded, manifest
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.address import DEFAULT_DATABASE
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.embedded import EmbeddedClient
from fonproxy.clickhouse.errors import EngineError
from fonproxy.move import MoveError, engine, relational
from fonproxy.move.engine import Engine, Partitions, Table
from fonproxy.move.target import MoveTarget

# Rows of the relational store are read here, written to the target and read back.
PASSES: Final = 3


class Command(BaseCommand):
    help = (
        "Copies one or both stores of this installation into empty ones of another kind, and compares them row by row. "
        "Every FonProxy process must be stopped. Nothing here is changed: the new installation begins when it is "
        "started with its own settings. An interrupted move continues when the command runs again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to-database", metavar="URL", help="postgres://user:password@host/name")
        parser.add_argument("--to-clickhouse", metavar="URL", help="clickhouse://user:password@host:9000/database")
        parser.add_argument(
            "--to-data-dir", type=Path, metavar="DIRECTORY", help="both stores, as SQLite and an embedded ClickHouse"
        )
        parser.add_argument(
            "--ahead",
            action="store_true",
            help="while FonProxy runs: copy what ClickHouse has, and say how long the rest will take",
        )

    def handle(self, *, ahead: bool, **options: Any) -> None:
        began = monotonic()
        try:
            target = _target(options)
            relational.refuse_behind()
            if target.moves_database:
                relational.add_target(target.database_config())
                target.prepare_data_dir()
                target.run("migrate", "--verbosity", "0")
            with ExitStack() as stack:
                if not ahead:
                    relational.refuse_in_use()
                source = stack.enter_context(_snapshot() if ahead else _stopped())
                if ahead:
                    self._move_ahead(source, target)
                    return
                stack.enter_context(relational.frozen())
                self._move(source, target)
        except (MoveError, BackupError, EngineError, Error, pause.PauseLost) as fault:
            raise CommandError(f"Not moved: {str(fault).strip()}") from None
        except OSError as fault:
            raise CommandError(f"Not moved: {fault}.") from None
        finally:
            close_client()
            connections.close_all()
        self.stdout.write(f"Everything was copied, and both sides are equal. It took {monotonic() - began:.0f} s.")
        self.stdout.write(_what_to_set(target))

    def _move(self, source: Engine, target: MoveTarget) -> None:
        """ClickHouse first: rows without users keep processes from starting on the target (``consistency_check``)."""
        if not target.moves_clickhouse:
            self._move_database()
        elif target.data_dir and not settings.CLICKHOUSE:
            self._copy_directory(source, target.data_dir / "clickhouse")
            self._move_database()
        else:
            with _opened(target, source) as there:
                self._move_engine(source, there)
                if target.moves_database:
                    self._move_database()
                engine.end(there)

    def _move_ahead(self, source: Engine, target: MoveTarget) -> None:
        """Copies what ClickHouse has now, and prints an estimate of the downtime for the rest."""
        seconds = 0.0
        if target.clickhouse_url or (target.data_dir and settings.CLICKHOUSE):
            with _opened(target, source) as there:
                seconds += self._move_engine(source, there)
        if target.moves_database:
            began = monotonic()
            rows = sum(found.rows for found in relational.digests("default").values())
            seconds += PASSES * (monotonic() - began)
            self.stdout.write(f"The relational store has {rows:,} rows.")
        self.stdout.write(
            f"Stop every FonProxy process and run the same command without --ahead: about {max(seconds, 1):.0f} s,"
            " plus the time to start (estimated from this run)."
        )

    # --- ClickHouse --------------------------------------------------------------------------------------------------

    def _move_engine(self, source: Engine, target: Engine) -> float:
        """Makes the target's tables equal; returns the seconds that a second run would take."""
        if engine.schema(source) != engine.schema(target):
            raise MoveError(
                "The two ClickHouse servers have different tables: first run clickhouse_migrate, or serve, here."
            )
        tables, now = engine.tables(source), timezone.now()
        began = monotonic()
        here = {table.name: engine.digest(source, table, now) for table in tables}
        there = {table.name: engine.digest(target, table, now) for table in tables}
        comparing = monotonic() - began
        copied, copying = self._copy(source, target, tables, here, there)
        if differing := [
            f"{table.name} {partition}"
            for table in tables
            for partition in engine.differing(here[table.name], engine.digest(target, table, now))
        ]:
            raise MoveError(f"These partitions differ after copying: {', '.join(differing)}. Run the command again.")
        for name, partitions in here.items():
            total = sum(partitions.values(), engine.NONE)
            self.stdout.write(f"  {name}: {total.rows:,} rows, {total.counted:,} requests, the same on both sides")
        newest = sum(partitions[max(partitions)].rows for partitions in here.values() if partitions)
        return 2 * comparing + (newest * copying / copied if copied else 0.0)

    def _copy(
        self,
        source: Engine,
        target: Engine,
        tables: list[Table],
        here: dict[str, Partitions],
        there: dict[str, Partitions],
    ) -> tuple[int, float]:
        """Copies the partitions that differ; returns rows and seconds."""
        work = [
            (table, partition) for table in tables for partition in engine.to_copy(here[table.name], there[table.name])
        ]
        total = sum(here[table.name].get(partition, engine.NONE).rows for table, partition in work)
        self.stdout.write(f"ClickHouse: {total:,} rows in {len(work)} partitions are to be copied.")
        began, copied = monotonic(), 0
        for table, partition in work:
            rows = engine.copy(source, target, table, partition)
            copied += rows
            share = min(copied / total, 1.0) if total else 1.0
            self.stdout.write(f"  {table.name} {partition}: {rows:,} rows copied ({share:.0%} of all)")
            self.stdout.flush()
        return copied, monotonic() - began

    def _copy_directory(self, source: Engine, directory: Path) -> None:
        """Copies the files from one embedded engine to another, because a process can open only one of them."""
        tables, now = engine.tables(source), timezone.now()
        here = {table.name: engine.digest(source, table, now) for table in tables}
        close_client()
        if embedded.is_empty(directory):
            with embedded.linked(settings.DATA_DIR / "clickhouse") as snapshot:
                embedded.copy(snapshot, directory)
        with _embedded(directory) as there:
            differing = [t.name for t in tables if engine.differing(here[t.name], engine.digest(there, t, now))]
        if differing:
            raise MoveError(f"{directory} has other rows ({', '.join(differing)}), which are not overwritten.")
        self.stdout.write("ClickHouse: the files were copied, and the rows are equal.")

    # --- the relational store ----------------------------------------------------------------------------------------

    def _move_database(self) -> None:
        if relational.holds_data():
            if relational.digests("default") != relational.digests(relational.TARGET):
                raise MoveError("The target database has data, which is not overwritten: name an empty one.")
            self.stdout.write("The relational store has already been copied.")
            return
        self.stdout.write("The relational store:")
        relational.copy(self._report_table)

    def _report_table(self, table: str, rows: int) -> None:
        if rows:
            self.stdout.write(f"  {table}: {rows:,} rows, the same on both sides")


def _target(options: dict[str, Any]) -> MoveTarget:
    target = MoveTarget(options["to_database"], options["to_clickhouse"], options["to_data_dir"])
    if target.data_dir and (target.database_url or target.clickhouse_url):
        raise MoveError("--to-data-dir moves both stores: it cannot be combined with --to-database or --to-clickhouse.")
    if not (target.moves_database or target.moves_clickhouse):
        raise MoveError("Name the target: --to-database, --to-clickhouse or both, or --to-data-dir.")
    if target.clickhouse_url:
        target.address()
    return target


@contextmanager
def _snapshot() -> Iterator[Engine]:
    """ClickHouse as it is now, with the server running; an embedded one through links to its files."""
    if settings.CLICKHOUSE:
        yield Engine(get_client(), migrator.DATABASE)
        return
    with embedded.linked(settings.DATA_DIR / "clickhouse") as snapshot, _embedded(snapshot) as opened:
        yield opened


@contextmanager
def _stopped() -> Iterator[Engine]:
    """ClickHouse after all batches of the journal were inserted. Raises MoveError while a server uses it."""
    if not settings.CLICKHOUSE and embedded.is_locked(settings.DATA_DIR / "clickhouse"):
        raise MoveError(
            "A FonProxy process is running here: stop it first, or copy most of it beforehand with --ahead."
        )
    client = get_client()
    # Tokens of blocks do not move: a block that is in some tables only would be counted twice in them.
    journal.release_claims(timezone.now())
    flusher.flusher.replay()
    if waiting := pause.unsettled_blocks():
        raise MoveError(
            f"{waiting} insert blocks are not settled, and could count twice afterwards. The admin shows"
            " why a block was refused."
        )
    yield Engine(client, migrator.DATABASE)


@contextmanager
def _opened(target: MoveTarget, source: Engine) -> Iterator[Engine]:
    """The target's ClickHouse with its tables, marked as incomplete. Existing tables stay as they are."""
    origin = manifest.fingerprints()[manifest.ID_SALT]
    with _connected(target) as there:
        is_begun = engine.is_begun(there, origin)
        if not is_begun:
            engine.refuse_rows(there)
        has_tables = engine.schema(there) == engine.schema(source)
    if not has_tables:
        target.run("clickhouse_migrate", keeps_database=True)
    with _connected(target) as there:
        if not is_begun:
            engine.begin(there, origin)
        yield there


@contextmanager
def _connected(target: MoveTarget) -> Iterator[Engine]:
    if target.data_dir:
        with _embedded(target.data_dir / "clickhouse") as there:
            yield there
        return
    from fonproxy.clickhouse.native import (
        NativeClient,
    )  # imported late: a large library that the other kind does not need

    client = NativeClient(target.address())
    try:
        yield Engine(client, target.address().database)
    finally:
        client.close()


@contextmanager
def _embedded(directory: Path) -> Iterator[Engine]:
    client = EmbeddedClient(directory, settings.ENGINE_MEMORY_BYTES)
    try:
        yield Engine(client, DEFAULT_DATABASE)
    finally:
        client.close()


def _what_to_set(target: MoveTarget) -> str:
    if target.data_dir:
        return f"Start it with FONPROXY_DATA_DIR={target.data_dir} and without the URLs of the services."
    names = " and ".join(
        name for name, url in (("DATABASE_URL", target.database_url), ("CLICKHOUSE_URL", target.clickhouse_url)) if url
    )
    kept = settings.DATA_DIR / "secret_key"
    secret = (
        f" Without FONPROXY_SECRET_KEY it also needs {kept}, on which keys and ids depend." if kept.exists() else ""
    )
    return f"Set {names} and start FonProxy.{secret}"
