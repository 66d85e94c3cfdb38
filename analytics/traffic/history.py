"""Imports traffic from before a provider's move to FonProxy: rows of any age, for the tables kept for ever.

A file is validated as a whole first. It is imported in chunks that depend only on its content, each under a key that
never expires: an interrupted import is run again, a file imported before adds nothing, and a file that has grown adds
its new rows.
"""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Final

import msgspec

from analytics.ingest import service as ingest_service
from analytics.ingest.row_errors import MAX_NAMED_ROWS
from analytics.ingest.schema import FAULTS
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import history_to_inbox
from fonproxy.api.errors import ApiProblem
from fonproxy.units import MIB

CHUNK_ROWS: Final = 50_000
CHUNK_BYTES: Final = 16 * MIB


class BadFile(Exception):
    """An invalid file; the text has a line for each of the first errors."""


@dataclass(frozen=True, slots=True)
class HistoryChunk:
    """Rows as JSON with their line numbers."""

    number: int
    rows: tuple[bytes, ...]
    lines: tuple[int, ...]


def chunks(file: Path) -> Iterator[HistoryChunk]:
    """The file's rows; a line is a row or an ingest body. Raises BadFile for any other line."""
    with file.open("rb") as source:
        rows = ((number, row) for number, line in enumerate(source, 1) for row in _rows_of(line, number))
        for number in count():
            chunk = list(_up_to_a_chunk(rows))
            if not chunk:
                return
            lines, texts = zip(*chunk, strict=True)
            yield HistoryChunk(number, texts, lines)


def _up_to_a_chunk(rows: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    size = 0
    for number, row in islice(rows, CHUNK_ROWS):
        yield number, row
        size += len(row)
        if size >= CHUNK_BYTES:
            return


def _rows_of(line: bytes, number: int) -> list[bytes]:
    if number == 1:
        line = line.removeprefix(BOM_UTF8)
    if not line.strip():
        return []
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        return (
            [bytes(row) for row in msgspec.json.decode(fields["logs"], type=list[msgspec.Raw])]
            if "logs" in fields
            else [line.strip()]
        )
    except FAULTS as fault:
        raise BadFile(f"line {number}: not a JSON object of an ingest row: {fault}") from None


def check(file: Path, now: datetime) -> int:
    """The number of rows in the file; raises BadFile if any is invalid."""
    if not file.is_file():
        raise BadFile("The import reads it twice, so it must be a file, not a pipe or a directory.")
    total = 0
    faults: list[str] = []
    for chunk in chunks(file):
        total += len(chunk.rows)
        try:
            history_to_inbox(_body(chunk.rows), now)
        except ApiProblem as refusal:
            faults += _in_words(refusal, chunk)
        if len(faults) >= MAX_NAMED_ROWS:
            break
    if faults:
        raise BadFile("\n".join(faults[:MAX_NAMED_ROWS]))
    return total


def _in_words(refusal: ApiProblem, chunk: HistoryChunk) -> list[str]:
    named = [error for error in refusal.errors if error.index is not None]
    if not named:
        return [f"lines {chunk.lines[0]} to {chunk.lines[-1]}: {refusal}"]
    return [f"line {chunk.lines[error.index or 0]}: {error.field}: {error.message}" for error in named]


def import_chunk(chunk: HistoryChunk, now: datetime) -> int:
    """Journals the new rows of the chunk and returns their number.

    Rows imported before, when the file was shorter, are skipped. Raises Unavailable when the journal is full.
    """
    place, rows = str(chunk.number), chunk.rows
    while rows:
        key = _key(place, rows)
        if IngestBatch.objects.filter(account=None, route=IngestBatch.Route.HISTORY, key=key).exists():
            return 0
        taken = _taken_at(place, rows)
        if not taken:
            ingest_service.accept(
                _body(rows), history_to_inbox, account_id=None, route=IngestBatch.Route.HISTORY, key=key, now=now
            )
            return len(rows)
        rows = rows[taken:]
        place = f"{chunk.number}+{len(chunk.rows) - len(rows)}"
    return 0


def _taken_at(place: str, rows: tuple[bytes, ...]) -> int:
    """How many of the first rows were imported earlier from this position of a file."""
    earlier = IngestBatch.objects.filter(
        account=None, route=IngestBatch.Route.HISTORY, key__startswith=f"{place}:", rows__lt=len(rows)
    )
    lengths = {(length, key) for length, key in earlier.values_list("rows", "key")}
    return max((length for length, key in lengths if key == _key(place, rows[:length])), default=0)


def _key(place: str, rows: tuple[bytes, ...]) -> str:
    """The key of these rows at this position of a file; equal rows at another position have another key."""
    return f"{place}:{hashlib.sha256(_body(rows)).hexdigest()}"


def _body(rows: tuple[bytes, ...]) -> bytes:
    return b'{"logs":[%b]}' % b",".join(rows)
