"""Batches of traffic to insert, and the rows that every table must then have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import hypothesis
import pyarrow as pa

from fonproxy.clickhouse.client import Client
from fonproxy.timerange import GRAIN, floor

TARGETS: Final = (
    "traffic",
    "order_traffic",
    "login_traffic",
    "late_traffic",
    "minute_traffic",
    "daily_host",
    "daily_host_times",
    "daily_network",
    "traffic_detail",
    "unlogged_traffic",
    "requests",
)
# The column of the maximum concurrency, in tables that have one.
PEAKS: Final = dict.fromkeys(TARGETS, "max_concurrency") | {"requests": "concurrency"}
del PEAKS["daily_host_times"], PEAKS["unlogged_traffic"], PEAKS["late_traffic"]
NOW: Final = datetime(2026, 6, 15, 12, 7, tzinfo=UTC)

_TEXTS: Final = ("network", "country", "protocol", "ip_out", "ip_from", "peer_id", "worker", "domain", "error")
_OTHER_TYPES: Final = {
    "ts": pa.timestamp("s", tz="UTC"),
    "taken_at": pa.timestamp("s", tz="UTC"),
    "port": pa.uint32(),
    "recent": pa.uint8(),
    "unlogged": pa.uint8(),
}
MEASURES: Final = ("count", "bytes_sent", "bytes_received", "error_count", "duration_ms", "max_concurrency")


def batch(rows: int, *, over: timedelta = timedelta(0), now: datetime = NOW, **fixed: object) -> pa.Table:
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
        "recent": [int(time > now - timedelta(hours=23)) for time in times],
        "taken_at": [now.replace(microsecond=0)] * rows,
        "unlogged": [int(time > now - timedelta(days=6)) for time in times],
    }
    columns |= {name: [1 + i * 7 % (100 + place) for i in range(rows)] for place, name in enumerate(MEASURES)}
    columns |= {name: [value] * rows for name, value in fixed.items()}
    return pa.table({name: pa.array(values, _type(name)) for name, values in columns.items()})


def requests(rows: int, *, over: timedelta, now: datetime = NOW) -> pa.Table:
    """So many different single requests, spread evenly over the time before ``now``."""
    times = [now - over * i / max(rows - 1, 1) for i in range(rows)]
    columns: dict[str, list[Any]] = {
        "log_id": [f"01900000-0000-7000-8000-{i:012x}" for i in range(rows)],
        "at_ms": [int(time.timestamp() * 1000) for time in times],
        "user_id": [1 + i % 5 for i in range(rows)],
        "order_id": [1 + i % 20 for i in range(rows)],
        "hostname": [f"host-{i}.example" for i in range(rows)],
        "concurrency": [1 + i for i in range(rows)],
        "recent": [int(time > now - timedelta(hours=23)) for time in times],
    }
    types = {"log_id": pa.string(), "at_ms": pa.int64(), "hostname": pa.string(), "recent": pa.uint8()}
    return pa.table({name: pa.array(values, types.get(name, pa.uint64())) for name, values in columns.items()})


def inbox_of(table: pa.Table) -> str:
    """The inbox into which it is pushed."""
    return "request_inbox" if "log_id" in table.column_names else "inbox"


def _type(column: str) -> Any:
    return pa.string() if column in _TEXTS else _OTHER_TYPES.get(column, pa.uint64())


# The engine is one for all examples.
ONE_ENGINE: Final = hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]
)

Totals = dict[str, tuple[int, int, int]]


def expected(*batches: pa.Table) -> Totals:
    """The value of ``found`` per table after these batches, each counted once."""
    everything: list[dict[str, Any]] = [row for rows in batches for row in rows.to_pylist()]
    some = {
        "minute_traffic": [row for row in everything if row["recent"]],
        "unlogged_traffic": [row for row in everything if row.get("unlogged")],
        "requests": [row for row in everything if "log_id" in row],
        "late_traffic": [
            row for row in everything if "taken_at" in row and row["taken_at"] >= _is_late_from(row["ts"])
        ],
    }
    return {table: _totals(some.get(table, everything), table) for table in TARGETS}


def _is_late_from(ts: datetime) -> datetime:
    """A day after the end of its bucket."""
    return floor(ts, GRAIN) + GRAIN + timedelta(days=1)


def _totals(rows: list[dict[str, Any]], table: str) -> tuple[int, int, int]:
    peaks = (row.get("max_concurrency", row.get("concurrency", 0)) for row in rows)
    return len(rows), sum(row.get("count", 1) for row in rows), max(peaks, default=0) * (table in PEAKS)


def _peak(table: str) -> str:
    return f"ifNull(max({PEAKS[table]}), 0)" if table in PEAKS else "0"


def found(client: Client) -> Totals:
    """Per table: rows pushed, their count, their maximum concurrency."""
    sql = "SELECT sum(rows), sum(count), {} FROM {}"
    answers = ((table, client.fetch(sql.format(_peak(table), table), tag="tests")[0]) for table in TARGETS)
    return {table: (rows, count, concurrency) for table, (rows, count, concurrency) in answers}


def parts(client: Client) -> dict[str, tuple[int, int]]:
    """Per table that has any: its number of parts and of partitions."""
    sql = (
        "SELECT table, count(), uniq(partition) FROM system.parts WHERE active AND database = currentDatabase()"
        " AND table != 'schema_migrations' GROUP BY table"
    )
    return {table: (parts, partitions) for table, parts, partitions in client.fetch(sql, tag="tests")}
