"""Copying a ClickHouse server's database to the server's disk ``backups``, and restoring it.

The copy does not include the deduplication tokens, so it may only be made while no block is unsettled.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings

from fonproxy.backup import BackupError
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.migrator import DATABASE
from fonproxy.clickhouse.profiles import literal

DISK: Final = "backups"


def refuse_cluster() -> None:
    """Raises BackupError if the database of this name contains only Distributed tables, not rows."""
    if settings.CLICKHOUSE_CLUSTER:
        raise BackupError(
            "On a cluster (CLICKHOUSE_CLUSTER) rows are in the shards, which this command does not copy:"
            " docs/backup.md says what to do instead."
        )


def dump(client: Client, name: str) -> None:
    client.command(f"BACKUP DATABASE {DATABASE} TO Disk('{DISK}', {literal(name)})", tag="backup")


def is_empty(client: Client) -> bool:
    sql = "SELECT count() FROM system.tables WHERE database = {database:String}"
    return client.fetch(sql, {"database": DATABASE}, tag="restore") == [(0,)]


def load(client: Client, name: str) -> None:
    client.command(f"RESTORE DATABASE {DATABASE} FROM Disk('{DISK}', {literal(name)})", tag="restore")
