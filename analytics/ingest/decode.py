"""An ingest body as validated columns, for every kind of row.

The fast path visits each row once. Only a refused body is decoded again row by row, to name the error of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
import pyarrow as pa

from analytics.ingest.attribution import AttributionMap, RowOwner
from analytics.ingest.checks import TIME, Columns, all_sound, fault_of
from analytics.ingest.duplicates import is_repeated
from analytics.ingest.row_errors import MAX_NAMED_ROWS, in_words, named, row_or_fault
from analytics.ingest.schema import FAULTS, IngestRow, RowSchema, sketch
from fonproxy.api.errors import FieldError, InvalidInput, TooLarge

# More than twice the fields of a row, so batches with unknown fields pass; limits the memory of decoding.
VALUES_PER_ROW: Final = 50
INVALID_BODY: Final = "analytics.invalid_body"
INVALID_ROWS: Final = "analytics.invalid_rows"
NOTHING_STORED: Final = "Some rows are bad; nothing was stored."
REPEATED: Final = FieldError("logs", "Is given more than once.")


def parse(
    kind: RowSchema[Any], body: bytes, *, oldest: datetime, now: datetime, max_rows: int
) -> tuple[Columns, AttributionMap]:
    """The rows as columns, and their owners. Raises InvalidInput, which names bad rows, and TooLarge."""
    braces = body.count(b"{")
    if braces > max_rows + 1:  # possibly too many rows: count them before creating objects
        _sketch(body, max_rows)
    try:
        rows = kind.decode_rows(body)
    except FAULTS:
        raise _refusal(kind, _sketch(body, max_rows), oldest, now) from None
    _refuse_too_many(len(rows), max_rows)
    if braces > len(rows) + 1 and is_repeated("logs", body, len(rows)):
        raise InvalidInput(NOTHING_STORED, code=INVALID_ROWS, errors=[REPEATED])
    columns = columns_of(kind, rows)
    directory = AttributionMap.of(set(columns["who"]))
    if not all_sound(columns, directory, oldest, now):
        raise _refusal(kind, _sketch(body, max_rows), oldest, now)
    return columns, directory


def columns_of(kind: RowSchema[Any], rows: Sequence[IngestRow]) -> Columns:
    """Decoded rows as columns."""
    columns = kind.columns(rows)
    columns["ts"] = pa.array(columns["ts"], TIME)  # times without a zone are UTC
    columns["who"] = list(zip(*(columns.pop(field) for field in RowOwner._fields), strict=True))
    return columns


def _refuse_too_many(rows: int, most: int) -> None:
    if rows > most:
        raise TooLarge(f"A batch may hold at most {most:,} rows; this one has {rows:,}.")


def _sketch(body: bytes, max_rows: int) -> list[msgspec.Raw]:
    """The body's rows as undecoded JSON. Raises InvalidInput for a wrong structure, TooLarge for too many rows."""
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


def _refusal(kind: RowSchema[Any], raws: Sequence[msgspec.Raw], oldest: datetime, now: datetime) -> InvalidInput:
    """The error that names the first bad rows, each with its first error."""
    rows = list(_until_enough_are_bad(kind, raws))
    directory = AttributionMap.of({row.who for row in rows if isinstance(row, IngestRow)})
    checked = (
        row if isinstance(row, FieldError) else _fault_of(kind, index, row, directory, oldest, now)
        for index, row in enumerate(rows)
    )
    errors = list(islice(filter(None, checked), MAX_NAMED_ROWS)) or [REPEATED]
    return InvalidInput(NOTHING_STORED, code=INVALID_ROWS, errors=errors)


def _fault_of(
    kind: RowSchema[Any], index: int, row: IngestRow, directory: AttributionMap, oldest: datetime, now: datetime
) -> FieldError | None:
    """The first error of a decoded row, with the JSON name of its field; None for a valid row."""
    fault = fault_of(row, directory, oldest, now)
    return FieldError(kind.names[fault[0]], fault[1], index) if fault else None


def _until_enough_are_bad(kind: RowSchema[Any], raws: Sequence[msgspec.Raw]) -> Iterator[IngestRow | FieldError]:
    """Decoded rows and decoding errors, until enough errors are found."""
    bad = 0
    for index, raw in enumerate(raws):
        row = row_or_fault(kind.decode_row, index, raw)
        yield row
        bad += isinstance(row, FieldError)
        if bad == MAX_NAMED_ROWS:
            return
