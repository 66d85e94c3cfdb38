"""Fills every table with the columns of ingestion and measures them on disk.

Runs where an engine is open.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import uuid4

from django.utils import timezone

from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.ingest import journal
from analytics.traffic.ingest_columns import to_inbox
from bench import event_rows
from bench.bodies import Owner, as_log_body, make_body
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client

ROWS_PER_BODY: Final = 10_000


def fill(rows: int, orders: int, as_requests: bool) -> float:
    """Inserts rows of the last four hours, aggregated or as single requests, of orders that each belong to one
    customer.

    Returns the bytes that the journal keeps per row until the engine has it.
    """
    now = timezone.now()
    owners = [Owner(order, 100_000 + order) for order in range(1, orders + 1)]
    kept = 0
    for seed in range(rows // ROWS_PER_BODY):
        kept += _push(make_body(ROWS_PER_BODY, owners, now, seed).content, now, as_requests)
    _put_together()
    return kept / rows


def fill_events(events: int) -> None:
    """Inserts a week of one application's events straight into their table."""
    event_rows.make_application()
    event_rows.fill(events)
    _put_together()


def held() -> dict[str, tuple[int, int]]:
    """Rows and bytes on disk, by table."""
    sql = (
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)} GROUP BY table"
    )
    rows = get_client().fetch(sql, {"tables": list(retention.declared())}, tag="bench.held")
    return {table: (count, size) for table, count, size in rows}


def _push(body: bytes, now: datetime, as_requests: bool) -> int:
    table = to_request_inbox(as_log_body(body), now) if as_requests else to_inbox(body, now)
    get_client().insert("request_inbox" if as_requests else "inbox", table, token=str(uuid4()))
    return len(journal.pack(table))


def _put_together() -> None:
    for table in retention.declared():
        get_client().command(f"OPTIMIZE TABLE {table} FINAL", tag="bench.fill")
