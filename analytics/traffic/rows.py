"""The body of ``POST /analytics/ingest``: decoded and validated in one pass, then checked by whole columns.

The fast path never looks at a row twice. Only a body that is refused is gone through again row by row, to name what
is wrong with each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from operator import attrgetter
from socket import AF_INET, AF_INET6, inet_pton
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from analytics.attribution import Directory, Who
from fonproxy.api.errors import FieldError, InvalidInput, TooLarge

MISSING: Final = -1  # no caller can send it: negative numbers are refused
MAX_ROWS_NAMED: Final = 100
AHEAD: Final = timedelta(days=1)
INVALID_BODY: Final = "analytics.invalid_body"
COUNTRY: Final = re.compile(r"[A-Za-z]{2}|")

Count = Annotated[int, Meta(ge=0, le=2**32)]
Amount = Annotated[int, Meta(ge=0, le=2**44)]
Text = Annotated[str, Meta(max_length=255)]


class Row(Struct, gc=False):
    """One aggregated line of a proxy worker, as documented for the ingest body."""

    ts: datetime
    count: Count
    user_id: Count = MISSING
    order_id: Count = MISSING
    proxy_user: Text = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    protocol: Text = ""
    ip_out: Text = ""
    ip_from: Text = ""
    peer_id: Text = ""
    worker: Text = ""
    domain: Text = ""
    error: Text = ""
    country: Text = ""
    bytes_sent: Amount = 0
    bytes_received: Amount = 0
    error_count: Count = 0
    duration_ms: Amount = 0
    max_concurrency: Count = 0

    @property
    def who(self) -> Who:
        return Who(self.user_id, self.order_id, self.proxy_user)


class _Body(Struct):
    logs: list[Row]


class _Sketch(Struct):
    logs: list[msgspec.Raw]


FIELDS: Final = Row.__struct_fields__
_values = attrgetter(*FIELDS)
_decode_body = msgspec.json.Decoder(_Body).decode
_decode_sketch = msgspec.json.Decoder(_Sketch).decode
_decode_row = msgspec.json.Decoder(Row).decode
_MISSING_FIELD: Final = re.compile(r"Object missing required field `(\w+)`")
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Columns = dict[str, tuple[Any, ...]]


def parse(body: bytes, *, oldest: datetime, now: datetime, max_rows: int) -> tuple[Columns, Directory]:
    """The rows as columns, and who they belong to; InvalidInput names bad rows, TooLarge says there are too many."""
    if body.count(b"{") > max_rows + 1:  # perhaps too many; find out before making an object of each
        _refuse_too_many(len(_sketch(body).logs), max_rows)
    try:
        rows = _decode_body(body).logs
    except _FAULTS:
        raise _refusal(body, oldest, now) from None
    _refuse_too_many(len(rows), max_rows)
    columns = _columns(rows)
    directory = Directory.of(set(zip(columns["user_id"], columns["order_id"], columns["proxy_user"], strict=True)))
    if not _all_sound(columns, directory, oldest, now + AHEAD):
        raise _refusal(body, oldest, now)
    return columns, directory


def _columns(rows: Sequence[Row]) -> Columns:
    values = zip(*map(_values, rows), strict=True) if rows else ((),) * len(FIELDS)
    return dict(zip(FIELDS, values, strict=True))


def _refuse_too_many(rows: int, most: int) -> None:
    if rows > most:
        raise TooLarge(f"A batch may hold at most {most:,} rows; this one has {rows:,}.")


def _all_sound(columns: Columns, directory: Directory, oldest: datetime, newest: datetime) -> bool:
    return (
        not directory.faults
        and all(map(is_address, set(columns["ip_out"]) | set(columns["ip_from"])))
        and all(map(COUNTRY.fullmatch, set(columns["country"])))
        and all(map(partial(_is_timely, oldest, newest), set(columns["ts"])))
    )


def is_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address, or empty."""
    if not text:
        return True
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _is_timely(oldest: datetime, newest: datetime, ts: datetime) -> bool:
    return oldest <= in_utc(ts) <= newest


def in_utc(ts: datetime) -> datetime:
    """The time as given, in UTC where no zone was."""
    return ts if ts.tzinfo else ts.replace(tzinfo=UTC)


def _sketch(body: bytes) -> _Sketch:
    try:
        return _decode_sketch(body)
    except msgspec.ValidationError as fault:
        raise InvalidInput("The body is not as documented.", code=INVALID_BODY, errors=[_named(fault)]) from None
    except _FAULTS as fault:
        raise InvalidInput(f"The body is not JSON: {_in_words(fault)}.", code=INVALID_BODY) from None


def _refusal(body: bytes, oldest: datetime, now: datetime) -> InvalidInput:
    """The error that names the first bad rows, each with its first fault."""
    rows = [_row_or_fault(index, raw) for index, raw in enumerate(_sketch(body).logs)]
    directory = Directory.of({row.who for row in rows if isinstance(row, Row)})
    found = (
        row if isinstance(row, FieldError) else _fault(i, row, directory, oldest, now) for i, row in enumerate(rows)
    )
    errors = list(islice(filter(None, found), MAX_ROWS_NAMED))
    return InvalidInput("Some rows are bad; nothing was stored.", code="analytics.invalid_rows", errors=errors)


def _row_or_fault(index: int, raw: msgspec.Raw) -> Row | FieldError:
    try:
        return _decode_row(raw)
    except msgspec.ValidationError as fault:
        return _named(fault, index)
    except _FAULTS as fault:
        return FieldError("row", f"Is not valid JSON: {_in_words(fault)}.", index)


def _fault(index: int, row: Row, directory: Directory, oldest: datetime, now: datetime) -> FieldError | None:
    if row.who in directory.faults:
        field, message = directory.faults[row.who]
        return FieldError(field, message, index)
    for field in ("ip_out", "ip_from"):
        if not is_address(getattr(row, field)):
            return FieldError(field, "Must be an IPv4 or IPv6 address, or empty.", index)
    if not COUNTRY.fullmatch(row.country):
        return FieldError("country", "Must be an ISO 3166 code of two letters.", index)
    if in_utc(row.ts) < oldest:
        return FieldError("ts", f"Is older than what is kept ({oldest:%Y-%m-%d %H:%M}).", index)
    if in_utc(row.ts) > now + AHEAD:
        return FieldError("ts", "Lies more than a day ahead.", index)
    return None


def _named(fault: msgspec.ValidationError, index: int | None = None) -> FieldError:
    """The decoder's finding as field and sentence."""
    reason, _, place = str(fault).partition(" - at ")
    if missing := _MISSING_FIELD.fullmatch(reason):
        return FieldError(missing[1], "Is required.", index)
    field = place.strip("`").removeprefix("$").removeprefix(".") or ("body" if index is None else "row")
    if "datetime" in reason:
        reason = "Must be a time as YYYY-MM-DD HH:MM:SS or in ISO 8601"
    return FieldError(field, f"{reason.replace('`', '')}.", index)


def _in_words(fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    return "it is not valid UTF-8" if isinstance(fault, UnicodeDecodeError) else str(fault)
