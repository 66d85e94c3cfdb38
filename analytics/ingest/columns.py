"""The columns of ClickHouse's ``inbox`` and ``request_inbox``, through which every row of traffic enters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.ingest.attribution import Attribution, AttributionMap
from fonproxy.clickhouse import retention
from fonproxy.countries import normalized
from fonproxy.hostnames import all_normalized
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

_REQUEST_TYPES: Final[dict[str, pa.DataType]] = {
    "log_id": _text,
    "at_ms": pa.int64(),
    "user_id": _number,
    "order_id": _number,
    "network": _text,
    "proxy_user_id": _number,
    "protocol": _text,
    "method": _text,
    "hostname": _text,
    "status_code": pa.uint32(),
    "error": _text,
    "session_id": _text,
    "bytes_sent": _number,
    "bytes_received": _number,
    "elapsed_ms": _number,
    "concurrency": _number,
    "authentication_type": _number,
    "client_address": _text,
    "local_address": _text,
    "local_port": pa.uint32(),
    "egress_address": _text,
    "country": _text,
    "city": _text,
    "asn": _number,
    "recent": pa.uint8(),
    "taken_at": pa.timestamp("s", tz="UTC"),
}
REQUEST_SCHEMA: Final = pa.schema(_REQUEST_TYPES)


def to_table(columns: Mapping[str, Any], directory: AttributionMap, now: datetime) -> pa.Table:
    """Checked columns with added attribution, in the inbox's types.

    ``ts`` is an Arrow array, the others are lists; ``who`` has the owner of each row. ``recent`` and ``unlogged`` mark
    rows recent enough for the tables of minutes and of unlogged traffic.
    """
    ts = columns["ts"].cast(SCHEMA.field("ts").type, safe=False)  # truncate to whole seconds
    enriched = {
        **columns,
        **attributed(columns["who"], directory),
        "ts": ts,
        "country": countries_of_rows(columns["country"], columns["ip_out"]),
        "domain": all_normalized(columns["domain"]),
        "recent": is_kept_in("minute_traffic", ts, now),
        "taken_at": taken_at(now, len(ts)),
        "unlogged": is_kept_in("requests", ts, now),
    }
    return pa.table({name: enriched[name] for name in SCHEMA.names}, schema=SCHEMA)


def taken_at(now: datetime, rows: int) -> Any:
    """The time of ingest as a column of that many rows."""
    type_ = SCHEMA.field("taken_at").type
    return pa.repeat(pa.scalar(now.replace(microsecond=0), type_), rows)


def is_kept_in(table: str, ts: pa.Array[Any], now: datetime) -> pa.Array[Any]:
    """1 for rows within the retention of that table, else 0."""
    since = retention.floor(table, now)
    kept: pa.Array[Any] = pc.greater_equal(ts, pa.scalar(since, ts.type)).cast(pa.uint8())
    return kept


def countries_of_rows(named: Sequence[str], exits: Sequence[str]) -> list[str]:
    """The country given in each row, else that of its exit address; each distinct address is looked up once."""
    known = {code: normalized(code) for code in set(named) if code}
    found = countries_of({address for code, address in zip(named, exits, strict=True) if not code})
    return [known[code] if code else found[address] for code, address in zip(named, exits, strict=True)]


def attributed(callers: Sequence[tuple[int, int, str]], directory: AttributionMap) -> dict[str, pa.Array[Any]]:
    """The columns of an Attribution for each row. Distinct owners are few, so Arrow takes them by index."""
    position = {who: number for number, who in enumerate(directory.known)}
    places = pa.array([position[who] for who in callers], pa.int64())
    distinct = zip(*directory.known.values(), strict=True) if position else ((),) * len(Attribution._fields)
    return {
        name: pa.array(values, SCHEMA.field(name).type).take(places)
        for name, values in zip(Attribution._fields, distinct, strict=True)
    }


def dirty_days_of(table: pa.Table) -> list[tuple[int, str]]:
    """The distinct (order id, ``YYYY-MM-DD``) pairs, sorted: the days whose ledger lines must be updated."""
    if "order_id" not in table.column_names:
        return []
    days = _times(table).cast(pa.timestamp("s")).cast(pa.date32())  # the zone is left out; it is UTC
    pairs = pa.table({"order": table["order_id"], "day": days}).group_by(["order", "day"]).aggregate([])
    return sorted((pair["order"], pair["day"].isoformat()) for pair in pairs.to_pylist())


def up_to_date(table: pa.Table) -> pa.Table:
    """Adds columns missing from batches that older versions journaled."""
    if "recent" not in table.column_names or "taken_at" in table.column_names:
        return table
    later = {"taken_at": _times(table)}
    if "ts" in table.column_names:
        later["unlogged"] = pa.array([1] * table.num_rows, pa.uint8())
    for name, values in later.items():
        table = table.append_column(SCHEMA.field(name), values)
    return table


def _times(table: pa.Table) -> Any:
    """The rows' times in whole seconds, from the columns of either inbox."""
    times = table["ts"] if "ts" in table.column_names else table["at_ms"].cast(pa.timestamp("ms", tz="UTC"))
    return times.cast(pa.timestamp("s", tz="UTC"), safe=False)
