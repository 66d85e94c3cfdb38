"""Repairs the data directory after the process was killed during an insert.

Every target of a batch writes the batch's token to its deduplication log first, and then renames the finished part
into place. A process killed in between leaves a token without its rows: the repeated batch would be refused and its
rows lost for good. So before the engine opens the directory, log records whose part does not exist are dropped.
A part exists when its directory does, or when a merged part covers its block. This must happen before every opening:
the engine gives the number of the missing block to the next insert, and then the record looks right.

The log is text, one record a line: operation (1 add, 2 drop), part name, deduplication id; separated by tabs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fonproxy import disk

_PART: Final = re.compile(r"([0-9a-zA-Z-]+)_(\d+)_(\d+)_(\d+)(?:_\d+)?")
_RECORD: Final = re.compile(rb"([12])\t([^\t\n]+)\t[^\t\n]+")


@dataclass(frozen=True, slots=True)
class Part:
    """The blocks of one partition in a part, both ends included."""

    partition: str
    first: int
    last: int

    def covers(self, other: Part) -> bool:
        return self.partition == other.partition and self.first <= other.first and other.last <= self.last


def parse_part(name: str) -> Part | None:
    """``202611_2_70_3`` as a part; None for any other name, such as that of an unfinished part."""
    found = _PART.fullmatch(name)
    return Part(found[1], int(found[2]), int(found[3])) if found else None


def honest(log: bytes, names: Iterable[str]) -> bytes:
    """The log without torn or unreadable lines and without records of parts that do not exist.

    ``names`` are the directories of the table. Records of dropped parts stay, because they only remove tokens.
    """
    by_partition: dict[str, set[Part]] = {}
    for part in filter(None, map(parse_part, names)):
        by_partition.setdefault(part.partition, set()).add(part)
    lines = log.split(b"\n")[:-1]  # text after the last newline is torn
    return b"".join(line + b"\n" for line in lines if _is_honest(line, by_partition))


def _is_honest(line: bytes, by_partition: dict[str, set[Part]]) -> bool:
    record = _RECORD.fullmatch(line)
    if record is None:
        return False
    part = parse_part(record[2].decode(errors="replace"))
    if record[1] == b"2" or part is None:
        return True
    parts = by_partition.get(part.partition, set())
    return part in parts or any(other.covers(part) for other in parts)


def repair(path: Path) -> int:
    """Repairs the engine's directory, which no process may have open; returns the number of changed logs.

    It may itself be killed at any time: a log is replaced whole or not at all, and repeating it changes nothing.
    """
    changed = 0
    for log in sorted(path.glob("store/*/*/deduplication_logs/deduplication_log_*.txt")):
        before = log.read_bytes()
        after = honest(before, (entry.name for entry in os.scandir(log.parent.parent) if entry.is_dir()))
        if after != before:
            _replace(log, after, path.with_name(f"{path.name}.repair"))
            changed += 1
    return changed


def _replace(log: Path, content: bytes, draft: Path) -> None:
    # The draft is outside of it, because the engine reads every file in its directory as a log.
    draft.write_bytes(content)
    disk.flush(draft)
    draft.replace(log)
    disk.flush(log.parent)
