"""Brings in what a provider carried before it moved in: a file of rows of any age, for the tables kept for ever.

A file is checked as a whole before anything of it is taken. It is taken in chunks that depend on nothing but its
content, each under a key that is never forgotten: an import that died anywhere is simply run again, a file that was
imported before adds nothing, and one that has grown since adds what is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Final

import msgspec

from analytics import intake
from analytics.models import Batch
from analytics.pushed.faults import MAX_ROWS_NAMED
from analytics.pushed.row import FAULTS
from analytics.traffic.rows import history_to_inbox
from fonproxy.api.errors import ApiError

CHUNK_ROWS: Final = 50_000
CHUNK_BYTES: Final = 16 * 2**20


class BadFile(Exception):
    """What is wrong with the file, a line for each of the first faults."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows as JSON, with the number of the line that each is on."""

    number: int
    rows: tuple[bytes, ...]
    lines: tuple[int, ...]


def chunks(file: Path) -> Iterator[Chunk]:
    """The file's rows; a line is a row, or an ingest body with many. Raises BadFile for a line that is neither."""
    with file.open("rb") as source:
        rows = ((number, row) for number, line in enumerate(source, 1) for row in _rows_of(line, number))
        for number in count():
            chunk = list(_up_to_a_chunk(rows))
            if not chunk:
                return
            lines, texts = zip(*chunk, strict=True)
            yield Chunk(number, texts, lines)


def _up_to_a_chunk(rows: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    size = 0
    for number, row in islice(rows, CHUNK_ROWS):
        yield number, row
        size += len(row)
        if size >= CHUNK_BYTES:
            return


def _rows_of(line: bytes, number: int) -> list[bytes]:
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
        raise BadFile(f"line {number}: is no JSON object of that kind: {fault}") from None


def check(file: Path, now: datetime) -> int:
    """Returns how many rows the file has, if all of them can be taken; raises BadFile."""
    if not file.is_file():
        raise BadFile("It is read twice, so it has to be a file: no pipe and no directory.")
    total = 0
    faults: list[str] = []
    for chunk in chunks(file):
        total += len(chunk.rows)
        try:
            history_to_inbox(_body(chunk.rows), now)
        except ApiError as refusal:
            faults += _in_words(refusal, chunk)
        if len(faults) >= MAX_ROWS_NAMED:
            break
    if faults:
        raise BadFile("\n".join(faults[:MAX_ROWS_NAMED]))
    return total


def _in_words(refusal: ApiError, chunk: Chunk) -> list[str]:
    named = [error for error in refusal.errors if error.index is not None]
    if not named:
        return [f"lines {chunk.lines[0]} to {chunk.lines[-1]}: {refusal}"]
    return [f"line {chunk.lines[error.index or 0]}: {error.field}: {error.message}" for error in named]


def take(chunk: Chunk, now: datetime) -> int:
    """Makes durable what is new of the chunk, and returns how many rows that is.

    What an earlier import took of it, when the file was shorter, is left out. Raises Unavailable when the journal is
    full.
    """
    place, rows = str(chunk.number), chunk.rows
    while rows:
        key = _key(place, rows)
        if Batch.objects.filter(account=None, route=Batch.Route.HISTORY, key=key).exists():
            return 0
        taken = _taken_at(place, rows)
        if not taken:
            intake.accept(_body(rows), history_to_inbox, account_id=None, route=Batch.Route.HISTORY, key=key, now=now)
            return len(rows)
        rows = rows[taken:]
        place = f"{chunk.number}+{len(chunk.rows) - len(rows)}"
    return 0


def _taken_at(place: str, rows: tuple[bytes, ...]) -> int:
    """How many of the first rows were taken from this place of a file before."""
    earlier = Batch.objects.filter(
        account=None, route=Batch.Route.HISTORY, key__startswith=f"{place}:", rows__lt=len(rows)
    )
    lengths = {(length, key) for length, key in earlier.values_list("rows", "key")}
    return max((length for length, key in lengths if key == _key(place, rows[:length])), default=0)


def _key(place: str, rows: tuple[bytes, ...]) -> str:
    """The same rows at the same place of a file; equal rows at another place are others."""
    return f"{place}:{hashlib.sha256(_body(rows)).hexdigest()}"


def _body(rows: tuple[bytes, ...]) -> bytes:
    return b'{"logs":[%b]}' % b",".join(rows)
