from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.errors import EngineFault


def test_the_live_schema_equals_the_declared_one(engine: Client) -> None:
    assert migrator.differences(engine) == []


def test_a_second_run_has_nothing_to_do(engine: Client) -> None:
    assert migrator.plan(engine) == []
    assert migrator.migrate(engine) == []


def test_a_difference_is_named(engine: Client) -> None:
    engine.command("ALTER TABLE daily_host MODIFY TTL day + toIntervalDay(1)", tag="tests")
    engine.command("CREATE TABLE stray (n UInt8) ENGINE = Null", tag="tests")
    try:
        wrong_ttl, stray = migrator.differences(engine)
        assert wrong_ttl.startswith("daily_host: its engine is")
        assert stray == "stray: exists, but is not declared"
        assert "MODIFY TTL" in migrator.plan(engine)[0]
    finally:
        engine.command("DROP TABLE stray", tag="tests")
        migrator.migrate(engine)
    assert migrator.differences(engine) == []


@pytest.fixture
def files(engine: Client, tmp_path: Path) -> Iterator[Path]:
    """A copy of the numbered files to change; what the test applied beyond them is reverted."""
    directory = tmp_path / "ddl"
    shutil.copytree(migrator.SCHEMA, directory)
    known = ", ".join(f"'{migration.name}'" for migration in migrator.migrations())
    yield directory
    engine.command("DROP TABLE IF EXISTS extra", tag="tests")
    engine.command(f"ALTER TABLE schema_migrations DELETE WHERE name NOT IN ({known})", tag="tests")


def test_an_interrupted_migration_stays_visible_and_is_repeated(engine: Client, files: Path) -> None:
    extra = files / "9001_extra.sql"
    create = "-- why; it exists\nCREATE TABLE IF NOT EXISTS {database}.extra (n UInt8) ENGINE = Null;\n"
    extra.write_text(create + "CREATE NONSENSE;\n")

    with pytest.raises(EngineFault):
        migrator.migrate(engine, files)

    states = "SELECT state FROM schema_migrations WHERE name = '9001_extra' ORDER BY at"
    assert engine.fetch(states, tag="tests") == [("running",)]
    extra.write_text(create)
    assert migrator.migrate(engine, files) == ["9001_extra"]
    assert engine.fetch(states, tag="tests") == [("running",), ("running",), ("done",)]
    assert migrator.pending(engine, files) == []


def test_a_file_changed_after_it_was_applied_is_refused(engine: Client, files: Path) -> None:
    first = next(iter(sorted(files.glob("*.sql"))))
    first.write_text(first.read_text() + "\n-- changed\n")

    with pytest.raises(migrator.SchemaError, match="was changed after it had been applied"):
        migrator.migrate(engine, files)


def test_a_database_newer_than_the_program_is_refused(engine: Client, files: Path) -> None:
    (files / "9002_extra.sql").write_text("CREATE TABLE IF NOT EXISTS {database}.extra (n UInt8) ENGINE = Null;")
    migrator.migrate(engine, files)

    with pytest.raises(migrator.SchemaError, match="9002_extra"):
        migrator.migrate(engine)
