"""The columns of ClickHouse's ``inbox``, through which every row of traffic passes once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.attribution import Attribution, Directory
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
}
SCHEMA: Final = pa.schema(_TYPES)


def to_table(columns: Mapping[str, Any], directory: Directory, *, recent_since: datetime) -> pa.Table:
    """Checked columns, enriched and in the inbox's types.

    ``ts`` is an Arrow array and the others are lists; ``who`` has what the directory was asked for, row by row.
    ``recent_since`` is where the minute table's retention begins: rows before it are marked so as not to enter it.
    """
    ts = columns["ts"].cast(SCHEMA.field("ts").type, safe=False)  # to whole seconds
    enriched = {
        **columns,
        **attributed(columns["who"], directory),
        "ts": ts,
        "country": countries_of_rows(columns["country"], columns["ip_out"]),
        "domain": [domain.lower() for domain in columns["domain"]],
        "recent": is_recent(ts, recent_since),
    }
    return pa.table({name: enriched[name] for name in SCHEMA.names}, schema=SCHEMA)


def is_recent(ts: pa.Array[Any], since: datetime) -> pa.Array[Any]:
    return pc.greater_equal(ts, pa.scalar(since, ts.type)).cast(pa.uint8())


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
    times = table["ts"] if "ts" in table.column_names else table["at_ms"].cast(pa.timestamp("ms"))
    days = times.cast(pa.timestamp("s"), safe=False).cast(pa.date32())  # in UTC, once the zone is taken off
    pairs = pa.table({"order": table["order_id"], "day": days}).group_by(["order", "day"]).aggregate([])
    return sorted((pair["order"], pair["day"].isoformat()) for pair in pairs.to_pylist())
