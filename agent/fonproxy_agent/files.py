"""A log and its rotated files. A file is recognized by its content, not by its name.

Rotated files may be compressed: such a file is unpacked into an unnamed file beside it when its turn comes.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import logging
import lzma
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from fonproxy_agent.errors import Stop
from fonproxy_agent.request import MAX_LINE
from fonproxy_agent.state import SUFFIX, Identity

log_messages = logging.getLogger(__name__)

# A chunk ends at a line's end within these limits, which bound the agent's memory.
MAX_LINES: Final = 5_000
MAX_BYTES: Final = 2**20
# The start of a file by which it is recognized, and the number of its lines that are searched for a time.
BEGINNING: Final = 2**16
LINES_SEARCHED: Final = 20
_COMPRESSED: Final = (".gz", ".bz2", ".xz")
_NOT_SUPPORTED: Final = (".zst", ".lz4", ".Z", ".zip")
_DATE: Final = r"(?:19|20)\d\d([-.]?)\d\d\1\d\d(?:[-._T]?\d+)*"
_DAMAGED: Final = (EOFError, zlib.error, lzma.LZMAError)

# The time of a line in milliseconds since the epoch, or None if it has none.
TimeOf = Callable[[bytes], int | None]


class Truncated(Exception):
    """The file is shorter than before."""


class LogFile:
    """An open log, which stays readable when it is renamed or deleted."""

    def __init__(self, path: Path, unpacked: IO[bytes] | None = None) -> None:
        """``unpacked`` is the content of a compressed file."""
        self.path = path
        self._file = path.open("rb")
        self._content = os.dup((unpacked or self._file).fileno())

    def close(self) -> None:
        self._file.close()
        os.close(self._content)

    @property
    def inode(self) -> int:
        return os.fstat(self._file.fileno()).st_ino

    @property
    def size(self) -> int:
        """The size in bytes, unpacked."""
        return os.fstat(self._content).st_size

    @property
    def changed_at(self) -> float:
        """The time of the last write, in seconds since the epoch."""
        return os.fstat(self._file.fileno()).st_mtime

    def read(self, start: int, end: int) -> bytes:
        parts = []
        while start < end and (part := os.pread(self._content, end - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def end_of_chunk(self, start: int, *, is_complete: bool) -> int:
        """The end of the chunk that begins at ``start``; ``start`` itself if there is no complete line yet.

        An incomplete last line is left out unless the file is complete.
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
        """The end of a line that is longer than a chunk; None if the line is incomplete."""
        while data := self.read(position, position + MAX_BYTES):
            if (newline := data.find(b"\n")) >= 0:
                return position + newline + 1
            position += len(data)
        return None

    def lines(self, start: int, end: int) -> Iterator[bytes]:
        """The lines of a chunk with their line ends; for a line longer than a chunk, enough to show that it is too
        long.

        Raises Truncated if the file is shorter than ``end``.
        """
        data = self.read(start, min(end, start + MAX_BYTES))
        if len(data) < min(end - start, MAX_BYTES):
            raise Truncated
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
    """The log of this name, and the rotated files beside it."""

    def __init__(self, path: Path, time_of: TimeOf) -> None:
        self.path = path
        self._time_of = time_of
        self._identities: dict[tuple[Path, int, int], Identity] = {}
        self._unpacked: tuple[Path, int, IO[bytes]] | None = None
        # logrotate's `extension .log` puts the date before the suffix. A bare number there may belong to another log.
        end = "|".join(map(re.escape, ("", *_COMPRESSED)))
        self._dated = re.compile(rf"{re.escape(path.stem)}[-._]{_DATE}{re.escape(path.suffix)}(?:{end})")

    def identity(self, log: LogFile) -> Identity:
        return _identity(log.read(0, BEGINNING), log.inode, log.changed_at, self._time_of)

    def find(self, wanted: Identity, least: int) -> LogFile | None:
        """The wanted file, or a copy of it, with at least ``least`` bytes."""
        matching = [(found, path) for path, found in self._candidates() if is_same(found, wanted)]
        matching.sort(key=lambda pair: (pair[0].inode != wanted.inode, pair[1].suffix in _COMPRESSED))
        for _, path in matching:
            log = self.open(path)
            if log is None:
                continue
            if log.size >= least and is_same(self.identity(log), wanted):
                return log
            log.close()
        return None

    def next_after(self, last: Identity, done: Collection[str]) -> tuple[Path, Identity] | None:
        """The oldest rotated file that began after this one, else the log itself; None if this one is the log.

        ``done`` has hashes of finished files, which are not started again even if a clock was set back.
        """
        known = self._candidates()
        if any(path == self.path and is_same(found, last) for path, found in known):
            return None
        fresh = [
            (path == self.path, found.began_ms, path.suffix in _COMPRESSED, path, found)
            for path, found in known
            if found.first and found.first not in (last.first, *done) and self._may_follow(path, found, last)
        ]
        return min(fresh, key=lambda file: file[:4])[3:] if fresh else None

    def _may_follow(self, path: Path, found: Identity, last: Identity) -> bool:
        return path == self.path or (found.is_of_requests and bool(last.first) and found.began_ms > last.began_ms)

    def _candidates(self) -> list[tuple[Path, Identity]]:
        """The log and its rotated files that can be read."""
        paths = [self.path, *sorted(path for path in self.path.parent.glob("*") if self._is_rotated(path))]
        return [(path, found) for path in paths if (found := self._identity_at(path))]

    def _identity_at(self, path: Path) -> Identity | None:
        """The identity from the start of the file; computed once for a compressed file, which does not change."""
        try:
            status = path.stat()
            key = (path, status.st_ino, status.st_mtime_ns)
            if found := self._identities.get(key):
                return found
            with _open_content(path) as file:
                found = _identity(_beginning(file), status.st_ino, status.st_mtime, self._time_of)
        except (OSError, *_DAMAGED):  # gone, not readable, or still being compressed
            return None
        if path.suffix in _COMPRESSED:
            self._identities[key] = found
        return found

    def open(self, path: Path) -> LogFile | None:
        """Opens the file; None if it is gone or damaged, or is a rotated file without read permission."""
        try:
            return LogFile(path, self._unpack(path) if path.suffix in _COMPRESSED else None)
        except FileNotFoundError:
            return None
        except (OSError, *_DAMAGED) as error:
            if path == self.path:
                raise Stop(f"{path} cannot be read: {error}.") from None
            if getattr(error, "errno", None) is None or isinstance(error, PermissionError):
                return None  # damaged, or not readable
            raise

    def _unpack(self, path: Path) -> IO[bytes]:
        """The content of a compressed file. Only the latest one is kept."""
        inode = path.stat().st_ino
        if self._unpacked is None or self._unpacked[:2] != (path, inode):
            self._unpacked = None
            content = TemporaryFile(dir=path.parent)  # noqa: SIM115 - kept for the next chunks
            with _open_content(path) as packed:
                is_complete = _copy(packed, content)
            if not is_complete:
                if path == self.path or not content.tell():
                    raise EOFError("The compressed file ends too early")
                log_messages.warning(f"{path} ends too early, as after a full disk: its lines up to there are shipped.")
            content.flush()
            self._unpacked = (path, inode, content)
        return self._unpacked[2]

    def _is_rotated(self, path: Path) -> bool:
        rest = path.name.removeprefix(self.path.name)
        has_log_name = (
            rest[:1] in (".", "-")
            and rest != path.name
            and not rest.startswith(SUFFIX)
            and not rest.endswith(_NOT_SUPPORTED)
        )
        return (has_log_name or bool(self._dated.fullmatch(path.name))) and path.is_file()


def _copy(packed: BufferedIOBase, content: IO[bytes]) -> bool:
    """Unpacks; False if the packed file is truncated. The content up to that point is valid."""
    try:
        while part := packed.read1(2**16):
            content.write(part)
    except EOFError:
        return False
    return True


def _beginning(file: BufferedIOBase) -> bytes:
    start = b""
    with suppress(EOFError):
        while len(start) < BEGINNING and (part := file.read1(BEGINNING - len(start))):
            start += part
    return start


def _open_content(path: Path) -> BufferedIOBase:
    """The file for reading, unpacked on the fly."""
    match path.suffix:
        case ".gz":
            return gzip.open(path)
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
    return path.open("rb")


def _identity(start: bytes, inode: int, changed_at: float, time_of: TimeOf) -> Identity:
    """The identity, from the first bytes of a file."""
    first, newline, _ = start.partition(b"\n")
    if not newline and len(start) < BEGINNING:
        return Identity(inode)
    times = (time_of(line + b"\n") for line in start.split(b"\n", LINES_SEARCHED)[:LINES_SEARCHED])
    began = next((time for time in times if time is not None), None)
    # Without a time in its first lines, the log's last change is taken as its start.
    began_ms = int(changed_at * 1000) if began is None else began
    return Identity(inode, hashlib.sha256(first).hexdigest(), began_ms, began is not None)


def is_same(found: Identity, wanted: Identity) -> bool:
    """Whether the found file is the wanted one or a copy of it."""
    return found.first == wanted.first if wanted.first else found.inode == wanted.inode
