"""Deletes one account's rows from every table in ClickHouse."""

from __future__ import annotations

from datetime import datetime

from accounts import erasure
from accounts.models import User
from analytics.ingest import dirty_days
from analytics.models import IngestBatch
from fonproxy.api.errors import Unavailable
from fonproxy.clickhouse import cluster, retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.migrator import DATABASE


def register() -> None:
    erasure.register(erasure.Phase.TRAFFIC, erase_traffic)


def erase_traffic(user: User, now: datetime) -> dict[str, int]:
    """Raises Unavailable while batches of the customer are still being inserted, or if some arrived in the meantime."""
    orders = set(user.orders.values_list("pk", flat=True))
    if orders & dirty_days.orders_under_way() or IngestBatch.objects.filter(account=user, settled_at=None).exists():
        raise Unavailable("Traffic of this customer is still being inserted into ClickHouse: retry.", wait=5)
    erased = erase_account(user.pk)
    if any(rows_held(user.pk).values()):
        raise Unavailable("Traffic arrived during the erasure: retry.", wait=5)
    return erased


def erase_account(user_id: int) -> dict[str, int]:
    """Deletes the account's rows; returns their number by table. Raises EngineError.

    Returns after the engine has rewritten the parts. If the process dies, the next call deletes the rest.
    """
    held = rows_held(user_id)
    for table, rows in held.items():
        if rows:
            place = cluster.everywhere(f"{cluster.of_rows(DATABASE)}.{table}")
            get_client().command(f"ALTER TABLE {place} DELETE WHERE user_id = {user_id:d}", tag="erasure")
    return held


def rows_held(user_id: int) -> dict[str, int]:
    """The number of the account's rows by table. Raises EngineError."""
    return {
        table: get_client().fetch(
            f"SELECT count() FROM {table} WHERE user_id = {{user_id:UInt64}}", {"user_id": user_id}, tag="erasure"
        )[0][0]
        for table in retention.declared()
    }
