"""The columns of ClickHouse's ``inbox``, through which every row of traffic passes once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.attribution import Attribution, Directory
from fonproxy.clickhouse import retention
from geo.countries import countries_of

_text: Final = pa.string()
_number: Final = pa.uint64()

_TYPES: Final[dict[str, pa.DataType]] = {
    "ts": pa.timestamp("s", tz="UTC"),
    "user_id": _number,
    "order_id": _number,
    "network": _text,
    "proxy_user_id": _number,
    "country": _text,
    "port": pa.uint32(),
    "protocol": _text,
    "ip_out": _text,
    "ip_from": _text,
    "peer_id": _text,
    "worker": _text,
    "domain": _text,
    "error": _text,
    "count": _number,
    "bytes_sent": _number,
    "bytes_received": _number,
    "error_count": _number,
    "duration_ms": _number,
    "max_concurrency": _number,
    "recent": pa.uint8(),
    "taken_at": pa.timestamp("s", tz="UTC"),
    "unlogged": pa.uint8(),
}
SCHEMA: Final = pa.schema(_TYPES)


def to_table(columns: Mapping[str, Any], directory: Directory, now: datetime) -> pa.Table:
    """Checked columns, enriched and in the inbox's types.

    ``ts`` is an Arrow array and the others are lists; ``who`` has what the directory was asked for, row by row. Rows
    that are too old for the tables of minutes and of what the log lacks are marked so as not to enter them.
    """
    ts = columns["ts"].cast(SCHEMA.field("ts").type, safe=False)  # to whole seconds
    enriched = {
        **columns,
        **attributed(columns["who"], directory),
        "ts": ts,
        "country": countries_of_rows(columns["country"], columns["ip_out"]),
        "domain": [domain.lower() for domain in columns["domain"]],
        "recent": is_kept_in("minute_traffic", ts, now),
        "taken_at": taken_at(now, len(ts)),
        "unlogged": is_kept_in("requests", ts, now),
    }
    return pa.table({name: enriched[name] for name in SCHEMA.names}, schema=SCHEMA)


def taken_at(now: datetime, rows: int) -> Any:
    """The time at which a batch was taken, for each of its rows."""
    type_ = SCHEMA.field("taken_at").type
    return pa.array([now.replace(microsecond=0)] * rows, type_)


def is_kept_in(table: str, ts: pa.Array[Any], now: datetime) -> pa.Array[Any]:
    """1 for rows that are young enough for that table."""
    since = retention.floor(table, now)
    kept: pa.Array[Any] = pc.greater_equal(ts, pa.scalar(since, ts.type)).cast(pa.uint8())
    return kept


def countries_of_rows(named: Sequence[str], exits: Sequence[str]) -> list[str]:
    """What each row names, else the country of the address it went out by; each distinct address is looked up once."""
    unnamed = {address for country, address in zip(named, exits, strict=True) if not country}
    if not unnamed:
        return [country.upper() for country in named]
    found = countries_of(unnamed)
    return [country.upper() or found[address] for country, address in zip(named, exits, strict=True)]


def attributed(callers: Sequence[tuple[int, int, str]], directory: Directory) -> dict[str, pa.Array[Any]]:
    """The columns of an Attribution: the few distinct ones, each put where it belongs."""
    position = {who: number for number, who in enumerate(directory.known)}
    places = pa.array([position[who] for who in callers], pa.int64())
    distinct = zip(*directory.known.values(), strict=True) if position else ((),) * len(Attribution._fields)
    return {
        name: pa.array(values, SCHEMA.field(name).type).take(places)
        for name, values in zip(Attribution._fields, distinct, strict=True)
    }


def touched_days(table: pa.Table) -> list[tuple[int, str]]:
    """The distinct (order id, ``YYYY-MM-DD``) pairs, sorted: what an accounting by day has to look at again."""
    if "order_id" not in table.column_names:
        return []
    days = _times(table).cast(pa.timestamp("s")).cast(pa.date32())  # in UTC, once the zone is taken off
    pairs = pa.table({"order": table["order_id"], "day": days}).group_by(["order", "day"]).aggregate([])
    return sorted((pair["order"], pair["day"].isoformat()) for pair in pairs.to_pylist())


def up_to_date(table: pa.Table) -> pa.Table:
    """The rows with the columns that an earlier version did not write yet, so that nothing is told that is not so."""
    if "recent" not in table.column_names or "taken_at" in table.column_names:
        return table
    later = {"taken_at": _times(table)}
    if "ts" in table.column_names:
        later["unlogged"] = pa.array([1] * table.num_rows, pa.uint8())
    for name, values in later.items():
        table = table.append_column(SCHEMA.field(name), values)
    return table


def _times(table: pa.Table) -> Any:
    """When it happened, in whole seconds, by the columns of either inbox."""
    times = table["ts"] if "ts" in table.column_names else table["at_ms"].cast(pa.timestamp("ms", tz="UTC"))
    return times.cast(pa.timestamp("s", tz="UTC"), safe=False)
