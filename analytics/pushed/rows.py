"""The body of an ingest as checked columns, for every kind of row.

The fast path never looks at a row twice. Only a body that is refused is gone through again row by row, to name what
is wrong with each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import Any, Final

import msgspec
import pyarrow as pa

from analytics.attribution import Directory, Who
from analytics.pushed.checks import TIME, Columns, all_sound, fault_of
from analytics.pushed.faults import MAX_ROWS_NAMED, in_words, named, row_or_fault
from analytics.pushed.row import FAULTS, Kind, Pushed, sketch
from fonproxy.api.errors import FieldError, InvalidInput, TooLarge

# More than twice what a row has, so that honest batches with unknown fields pass; bounds what a body makes us hold.
VALUES_PER_ROW: Final = 50
INVALID_BODY: Final = "analytics.invalid_body"


def parse(kind: Kind[Any], body: bytes, *, oldest: datetime, now: datetime, max_rows: int) -> tuple[Columns, Directory]:
    """The rows as columns, and who they belong to; InvalidInput names bad rows, TooLarge says there are too many."""
    if body.count(b"{") > max_rows + 1:  # perhaps too many rows: find out before making an object of each
        _sketch(body, max_rows)
    try:
        rows = kind.decode_rows(body)
    except FAULTS:
        raise _refusal(kind, _sketch(body, max_rows), oldest, now) from None
    _refuse_too_many(len(rows), max_rows)
    columns = _columns(kind, rows)
    directory = Directory.of(set(columns["who"]))
    if not all_sound(columns, directory, oldest, now):
        raise _refusal(kind, _sketch(body, max_rows), oldest, now)
    return columns, directory


def _columns(kind: Kind[Any], rows: Sequence[Pushed]) -> Columns:
    columns: dict[str, Any] = {field: list(map(attrgetter(field), rows)) for field in kind.names}
    columns["ts"] = pa.array(columns["ts"], TIME)  # times without a zone are taken for UTC
    columns["who"] = list(zip(*(columns.pop(field) for field in Who._fields), strict=True))
    return columns


def _refuse_too_many(rows: int, most: int) -> None:
    if rows > most:
        raise TooLarge(f"A batch may hold at most {most:,} rows; this one has {rows:,}.")


def _sketch(body: bytes, max_rows: int) -> list[msgspec.Raw]:
    """The body's rows unread, if it is JSON of the right kind and not too much of it."""
    if body.count(b",") > max_rows * VALUES_PER_ROW:
        raise TooLarge(f"A batch may hold at most {max_rows:,} rows; this one has far too many values for that.")
    try:
        raws = sketch(body)
    except msgspec.ValidationError as fault:
        raise InvalidInput("The body is not as documented.", code=INVALID_BODY, errors=[named(fault)]) from None
    except FAULTS as fault:
        raise InvalidInput(f"The body is not JSON: {in_words(fault, body)}.", code=INVALID_BODY) from None
    _refuse_too_many(len(raws), max_rows)
    return raws


def _refusal(kind: Kind[Any], raws: Sequence[msgspec.Raw], oldest: datetime, now: datetime) -> InvalidInput:
    """The error that names the first bad rows, each with its first fault."""
    rows = list(_until_enough_are_bad(kind, raws))
    directory = Directory.of({row.who for row in rows if isinstance(row, Pushed)})
    checked = (
        row if isinstance(row, FieldError) else _fault_of(kind, index, row, directory, oldest, now)
        for index, row in enumerate(rows)
    )
    errors = list(islice(filter(None, checked), MAX_ROWS_NAMED)) or [FieldError("logs", "Is there more than once.")]
    return InvalidInput("Some rows are bad; nothing was stored.", code="analytics.invalid_rows", errors=errors)


def _fault_of(
    kind: Kind[Any], index: int, row: Pushed, directory: Directory, oldest: datetime, now: datetime
) -> FieldError | None:
    """What is wrong with a decoded row, by the names that its kind goes by."""
    fault = fault_of(row, directory, oldest, now)
    return FieldError(kind.names[fault[0]], fault[1], index) if fault else None


def _until_enough_are_bad(kind: Kind[Any], raws: Sequence[msgspec.Raw]) -> Iterator[Pushed | FieldError]:
    """The rows, or what keeps them from being decoded, up to the last that could be named."""
    bad = 0
    for index, raw in enumerate(raws):
        row = row_or_fault(kind.decode_row, index, raw)
        yield row
        bad += isinstance(row, FieldError)
        if bad == MAX_ROWS_NAMED:
            return
