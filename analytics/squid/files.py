"""The log and what it was rotated to: finds a file again by what it holds, not by its name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from analytics.squid.lines import MAX_LINE
from analytics.squid.state import SUFFIX, Identity

# One chunk holds at most this much, up to its last complete line.
MAX_LINES: Final = 20_000
MAX_BYTES: Final = 8 * 2**20
COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip")
_TIME: Final = re.compile(rb"\s*(\d{1,12})\.(\d{3})\s")


class Cut(Exception):
    """The file no longer holds what it held."""


class LogFile:
    """A log held open: it stays readable when it is renamed or deleted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")

    def close(self) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    @property
    def changed_at(self) -> float:
        """When it was last written to, in seconds since the epoch."""
        return os.fstat(self._file.fileno()).st_mtime

    def identity(self) -> Identity:
        inode = os.fstat(self._file.fileno()).st_ino
        start = self.read(0, MAX_LINE)
        first, newline, _ = start.partition(b"\n")
        if not newline and len(start) < MAX_LINE:
            return Identity(inode)
        time = _TIME.match(first)
        # A log that does not begin with a request is told apart by its hash; its age is that of its last change.
        began = int(time[1] + time[2]) if time else int(self.changed_at * 1000)
        return Identity(inode, hashlib.sha256(first).hexdigest(), began, time is not None)

    def read(self, start: int, end: int) -> bytes:
        parts = []
        while start < end and (part := os.pread(self._file.fileno(), end - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def end_of_chunk(self, start: int, *, is_complete: bool) -> int:
        """Where the chunk that begins at ``start`` ends, ``start`` itself when there is none yet.

        An unfinished last line is left out, unless the file is complete: then nothing will finish it.
        """
        data = self.read(start, start + MAX_BYTES)
        if len(data) == MAX_BYTES and b"\n" not in data:
            return self._end_of_line(start + MAX_BYTES) or (self.size if is_complete else start)
        if is_complete and start + len(data) >= self.size and data.count(b"\n") < MAX_LINES:
            return start + len(data)
        end = 0
        for _ in range(MAX_LINES):
            newline = data.find(b"\n", end)
            if newline < 0:
                break
            end = newline + 1
        return start + end

    def _end_of_line(self, position: int) -> int | None:
        """Where the line ends that is too long to be held; None when it is unfinished."""
        while data := self.read(position, position + MAX_BYTES):
            if (newline := data.find(b"\n")) >= 0:
                return position + newline + 1
            position += len(data)
        return None

    def lines(self, start: int, end: int) -> Iterator[bytes]:
        """The lines of a chunk with their ends; of one that is too long to be held, as much as shows that it is.

        Raises Cut when the file has become shorter.
        """
        data = self.read(start, min(end, start + MAX_BYTES))
        if len(data) < min(end - start, MAX_BYTES):
            raise Cut
        if end - start > MAX_BYTES:
            yield data[:MAX_LINE] + b"\n"
            return
        position = 0
        while position < len(data):
            newline = data.find(b"\n", position)
            after = newline + 1 if newline >= 0 else len(data)
            yield data[position:after]
            position = after


class Rotation:
    """The log of this name, and the files beside it that it was rotated to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def current(self) -> LogFile | None:
        try:
            return LogFile(self.path)
        except FileNotFoundError:
            return None

    def find(self, wanted: Identity, least: int) -> LogFile | None:
        """The wanted file with at least this many bytes; a copy of it where the file itself was truncated."""
        with self._open() as files:
            fitting = [(log, log.identity()) for log in files if log.size >= least]
            matching = [(log, found) for log, found in fitting if is_same(found, wanted)]
            matching.sort(key=lambda pair: pair[1].inode != wanted.inode)
            return files.pop(files.index(matching[0][0])) if matching else None

    def next_after(self, last: Identity, done: Collection[str]) -> LogFile | None:
        """The oldest rotated file that began after this one, else the log itself; None when this one is the log.

        ``done`` are the first lines of files that were finished before: a clock may have been set back, and none of
        them is begun again.
        """
        with self._open() as files:
            known = [(log, log.identity()) for log in files]
            if any(log.path == self.path and is_same(found, last) for log, found in known):
                return None
            fresh = [(log, found) for log, found in known if found.first and found.first not in (last.first, *done)]
            ages = [
                (log.path == self.path, found.began_ms, log)
                for log, found in fresh
                if self._may_follow(log, found, last)
            ]
            ages.sort(key=lambda age: age[:2])
            return files.pop(files.index(ages[0][2])) if ages else None

    def _may_follow(self, log: LogFile, found: Identity, last: Identity) -> bool:
        return log.path == self.path or (found.is_of_requests and bool(last.first) and found.began_ms > last.began_ms)

    @contextmanager
    def _open(self) -> Iterator[list[LogFile]]:
        """The log and its rotated files, all open; those still in the list afterwards are closed."""
        files: list[LogFile] = []
        try:
            for path in [self.path, *sorted(set(self.path.parent.glob("*")) - {self.path})]:
                if path == self.path:
                    with suppress(FileNotFoundError):  # renamed a moment ago; whoever misses it looks again
                        files.append(LogFile(path))
                else:
                    with suppress(OSError):  # somebody else's, perhaps, and not to be read
                        if self._is_rotated(path):
                            files.append(LogFile(path))
            yield files
        finally:
            for log in files:
                log.close()

    def _is_rotated(self, path: Path) -> bool:
        rest = path.name.removeprefix(self.path.name)
        return (
            rest[:1] in (".", "-")
            and rest != path.name
            and not rest.startswith(SUFFIX)
            and not rest.endswith(COMPRESSED)
            and path.is_file()
        )


def is_same(found: Identity, wanted: Identity) -> bool:
    """Whether the file found is the one that is remembered, or a copy of it."""
    return found.first == wanted.first if wanted.first else found.inode == wanted.inode
