"""Checks whether the two stores are complete and belong together."""

from __future__ import annotations

from typing import Final

from django.contrib.auth import get_user_model
from django.db import connection

from fonproxy.backup import BackupError
from fonproxy.clickhouse import cluster
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.migrator import DATABASE

ROWS = """
SELECT sum(rows) FROM system.parts WHERE active AND database = {database:String} AND table != 'schema_migrations'
"""


# A table of this name exists in ClickHouse until a move to it is complete.
MARKER: Final = "moving"


def refuse_half_moved(client: Client) -> None:
    """Raises BackupError if ``manage.py move`` to this installation is incomplete."""
    sql = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {name:String}"
    if client.fetch(sql, {"database": DATABASE, "name": MARKER}, tag="owners") != [(0,)]:
        raise BackupError(
            "A move to this ClickHouse is in progress or was interrupted: run manage.py move again, in the installation"
            " that is moved, until it says that everything is there."
        )


def refuse_rows_without_users(client: Client) -> None:
    """Raises BackupError: new customers would get the ids, and so the rows, of the missing ones."""
    [(rows,)] = client.fetch(ROWS, {"database": cluster.of_rows(DATABASE)}, tag="owners")
    if rows and not _has_users():
        raise BackupError(
            f"ClickHouse has {rows} rows, and the relational store has no user: are DATABASE_URL and CLICKHOUSE_URL of"
            " one installation? If a restore was interrupted, empty both stores and restore again."
        )


def _has_users() -> bool:
    users = get_user_model()
    return users._meta.db_table in connection.introspection.table_names() and users._default_manager.exists()
