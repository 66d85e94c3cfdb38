"""``move`` and ``backup`` leave out no table of either store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from fonproxy.clickhouse import migrator, retention
from fonproxy.clickhouse.client import Client
from fonproxy.move import relational
from tests.serving import ROOT, environment, with_accounts

DUMPED = """
import sys, django
django.setup()
from pathlib import Path
from fonproxy.backup import relational
from tests import every_table
every_table.fill()
relational.dump(Path(sys.argv[1]))
"""


def contents(file: Path) -> dict[str, list[str]]:
    """Every table, its rows in order."""
    with closing(sqlite3.connect(file)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(map(str, database.execute(f"SELECT * FROM {name}"))) for name in names}


@pytest.mark.django_db
def test_a_move_copies_every_table_of_the_relational_store() -> None:
    # The times at which migrations ran belong to the new store.
    assert {model._meta.db_table for model in relational.tables()} | {"django_migrations"} == {
        *connection.introspection.table_names()
    }


def test_a_move_copies_every_table_of_clickhouse_that_keeps_rows(engine: Client) -> None:
    found = engine.fetch(
        "SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        {"database": migrator.DATABASE},
        tag="tests",
    )
    assert {name for (name,) in found} == {*retention.declared(), "schema_migrations"}


def test_a_backup_holds_every_table_but_the_sign_ins(tmp_path: Path) -> None:
    with_accounts(tmp_path / "data")
    command = [sys.executable, "-c", DUMPED, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=environment(tmp_path / "data"), check=True)
    kept, copied = contents(tmp_path / "data/fonproxy.sqlite3"), contents(tmp_path / "fonproxy.sqlite3")
    assert [name for name, rows in kept.items() if not rows] == []
    left_out: dict[str, list[str]] = {name: [] for name in settings.SIGN_IN_TABLES}
    # SQLite's own id counter is included.
    assert copied == kept | left_out
