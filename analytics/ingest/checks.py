"""Rules for decoded rows beyond their types: for whole columns at once, and for one row to name its error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.ingest.attribution import AttributionMap
from analytics.ingest.schema import IngestRow
from fonproxy.timerange import EPOCH

AHEAD: Final = timedelta(days=1)
ADDRESSES: Final = ("ip_out", "ip_from", "ip_local")
COUNTRY: Final = re.compile(r"[A-Za-z]{2}|")

TIME: Final = pa.timestamp("us", tz="UTC")

# Lists by field name, except ``ts``, an Arrow array of TIME; ``who`` has the three fields of RowOwner as tuples.
Columns = Mapping[str, Any]


def all_sound(columns: Columns, directory: AttributionMap, oldest: datetime, now: datetime) -> bool:
    return (
        not directory.faults
        and are_addresses({address for field in ADDRESSES for address in columns.get(field, ())})
        and all(map(COUNTRY.fullmatch, set(columns["country"])))
        and _are_timely(columns["ts"], oldest, now + AHEAD)
    )


def are_addresses(texts: Iterable[str]) -> bool:
    """Whether each is an IPv4 or IPv6 address, or empty."""
    try:
        for text in texts:
            if text:
                inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _are_timely(ts: pa.TimestampArray[Any, Any], oldest: datetime, newest: datetime) -> bool:
    """Compares integers, because a time may be outside of datetime's range in UTC."""
    micros = ts.cast(pa.int64())
    first, last = pc.min(micros).as_py(), pc.max(micros).as_py()
    return first is None or last is None or (_micros(oldest) <= first and last <= _micros(newest))


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def in_utc(ts: datetime) -> datetime:
    """The time with its zone, by default UTC."""
    return ts if ts.tzinfo else ts.replace(tzinfo=UTC)


def fault_of(row: IngestRow, directory: AttributionMap, oldest: datetime, now: datetime) -> tuple[str, str] | None:
    """The first error as field and message; None for a valid row."""
    if row.who in directory.faults:
        return directory.faults[row.who]
    for field in ADDRESSES:
        if not are_addresses([getattr(row, field, "")]):
            return field, "Must be an IPv4 or IPv6 address, or empty."
    if not COUNTRY.fullmatch(row.country):
        return "country", "Must be an ISO 3166 code of two letters."
    if in_utc(row.ts) < oldest:
        return "ts", f"Is older than the retention ({oldest:%Y-%m-%d %H:%M})."
    if in_utc(row.ts) > now + AHEAD:
        return "ts", "Is more than a day ahead."
    return None
