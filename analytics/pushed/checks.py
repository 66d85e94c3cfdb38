"""What must hold of decoded rows beyond their types: asked of whole columns, and of one row to say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.attribution import Directory
from analytics.pushed.row import Pushed
from fonproxy.timerange import EPOCH

AHEAD: Final = timedelta(days=1)
ADDRESSES: Final = ("ip_out", "ip_from", "ip_local")
COUNTRY: Final = re.compile(r"[A-Za-z]{2}|")

TIME: Final = pa.timestamp("us", tz="UTC")

# Lists by field name, but for ``ts``, an Arrow array of TIME; ``who`` holds the three fields of Who as tuples.
Columns = Mapping[str, Any]


def all_sound(columns: Columns, directory: Directory, oldest: datetime, now: datetime) -> bool:
    return (
        not directory.faults
        and _are_addresses({address for field in ADDRESSES for address in columns.get(field, ())})
        and all(map(COUNTRY.fullmatch, set(columns["country"])))
        and _are_timely(columns["ts"], oldest, now + AHEAD)
    )


def _are_addresses(texts: Iterable[str]) -> bool:
    """Whether each is an IPv4 or IPv6 address, or empty."""
    try:
        for text in texts:
            if text:
                inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _are_timely(ts: pa.TimestampArray[Any, Any], oldest: datetime, newest: datetime) -> bool:
    """As whole numbers: a time may be one that a datetime cannot hold once it is in UTC."""
    micros = ts.cast(pa.int64())
    first, last = pc.min(micros).as_py(), pc.max(micros).as_py()
    return first is None or last is None or (_micros(oldest) <= first and last <= _micros(newest))


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def in_utc(ts: datetime) -> datetime:
    """The time as given, in UTC where no zone was."""
    return ts if ts.tzinfo else ts.replace(tzinfo=UTC)


def fault_of(row: Pushed, directory: Directory, oldest: datetime, now: datetime) -> tuple[str, str] | None:
    """The first fault as field and sentence."""
    if row.who in directory.faults:
        return directory.faults[row.who]
    for field in ADDRESSES:
        if not _are_addresses([getattr(row, field, "")]):
            return field, "Must be an IPv4 or IPv6 address, or empty."
    if not COUNTRY.fullmatch(row.country):
        return "country", "Must be an ISO 3166 code of two letters."
    if in_utc(row.ts) < oldest:
        return "ts", f"Is older than what is kept ({oldest:%Y-%m-%d %H:%M})."
    if in_utc(row.ts) > now + AHEAD:
        return "ts", "Lies more than a day ahead."
    return None
