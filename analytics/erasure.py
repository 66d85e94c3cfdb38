"""Deletes one account's rows from every table of the engine."""

from __future__ import annotations

from fonproxy.clickhouse import cluster, retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.migrator import DATABASE


def erase_account(user_id: int) -> dict[str, int]:
    """Deletes the account's rows and returns how many rows there were, by table. Raises EngineError.

    Returns when the engine has rewritten what held them. Dying halfway leaves some tables for the next call.
    """
    held = rows_held(user_id)
    for table, rows in held.items():
        if rows:
            place = cluster.everywhere(f"{cluster.of_rows(DATABASE)}.{table}")
            get_client().command(f"ALTER TABLE {place} DELETE WHERE user_id = {user_id:d}", tag="erasure")
    return held


def rows_held(user_id: int) -> dict[str, int]:
    """How many rows each table holds for the account. Raises EngineError."""
    return {
        table: get_client().fetch(
            f"SELECT count() FROM {table} WHERE user_id = {{user_id:UInt64}}", {"user_id": user_id}, tag="erasure"
        )[0][0]
        for table in retention.declared()
    }
