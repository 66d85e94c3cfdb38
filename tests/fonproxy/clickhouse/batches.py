"""Batches of traffic to insert, and what every table must hold afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.inbox import SCHEMA
from fonproxy.clickhouse.client import Client

TARGETS: Final = ("traffic", "order_traffic", "minute_traffic", "daily_host", "daily_network", "traffic_detail")
NOW: Final = datetime(2026, 6, 15, 12, 7, tzinfo=UTC)

MEASURES: Final = ("count", "bytes_sent", "bytes_received", "error_count", "duration_ms", "max_concurrency")


def batch(rows: int, *, over: timedelta = timedelta(0), now: datetime = NOW, **fixed: Any) -> pa.Table:
    """So many different rows, spread evenly over the time before ``now``; ``fixed`` columns have one value in all."""
    times = [now - over * i / max(rows - 1, 1) for i in range(rows)]
    columns: dict[str, list[Any]] = {
        "ts": [time.replace(microsecond=0) for time in times],
        "user_id": [1 + i % 5 for i in range(rows)],
        "order_id": [1 + i % 20 for i in range(rows)],
        "network": ["residential"] * rows,
        "proxy_user_id": [i % 7 for i in range(rows)],
        "country": [("US", "DE", "XX")[i % 3] for i in range(rows)],
        "port": [8000 + i % 9 for i in range(rows)],
        "protocol": ["http"] * rows,
        "ip_out": [f"10.0.{i % 200}.{i % 250}" for i in range(rows)],
        "ip_from": [f"2001:db8::{i % 1000:x}" for i in range(rows)],
        "peer_id": [f"peer-{i % 100}" for i in range(rows)],
        "worker": [f"worker-{i % 4}" for i in range(rows)],
        "domain": [f"host-{i}.example" for i in range(rows)],
        "error": [""] * rows,
        "recent": [int(time > now - timedelta(days=1)) for time in times],
    }
    columns |= {name: [1 + i * 7 % (100 + place) for i in range(rows)] for place, name in enumerate(MEASURES)}
    columns |= {name: [value] * rows for name, value in fixed.items()}
    return pa.table(columns, schema=SCHEMA)


Totals = dict[str, tuple[int, int, int]]


def expected(*batches: pa.Table) -> Totals:
    """Per table what ``found`` must say after these batches, each counted once."""
    everything = pa.concat_tables(batches)
    recent = everything.filter(pc.equal(everything["recent"], 1))
    return {table: _totals(recent if table == "minute_traffic" else everything) for table in TARGETS}


def _totals(rows: pa.Table) -> tuple[int, int, int]:
    return rows.num_rows, sum(rows["count"].to_pylist()), max(rows["max_concurrency"].to_pylist(), default=0)


def found(client: Client, targets: Sequence[str] = TARGETS) -> Totals:
    """Per table: rows pushed, their count, their greatest concurrency."""
    sql = "SELECT sum(rows), sum(count), max(max_concurrency) FROM {}"
    return {table: client.fetch(sql.format(table), tag="tests")[0] for table in targets}  # type: ignore[misc]


def parts(client: Client) -> dict[str, tuple[int, int]]:
    """Per table that has any: its number of parts and of partitions."""
    sql = (
        "SELECT table, count(), uniq(partition) FROM system.parts WHERE active AND database = currentDatabase()"
        " AND table != 'schema_migrations' GROUP BY table"
    )
    return {table: (parts, partitions) for table, parts, partitions in client.fetch(sql, tag="tests")}
