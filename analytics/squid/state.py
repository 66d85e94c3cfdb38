"""What a shipper remembers between two runs, in a file beside the log.

The file is replaced as a whole: whenever a process dies, the next one finds the old state or the new one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

SUFFIX: Final = ".fonproxy"


class Stop(Exception):
    """Shipping cannot go on; the text says why, and what to do."""


class Identity(msgspec.Struct, frozen=True):
    """Which file it is, whatever it is called by now.

    ``first`` is the hash of its first line, which begins with a time in milliseconds; empty while there is none. A copy
    of the file has it too; ``inode`` prefers the original among copies. The device is left out: its number may change
    when the machine starts again. ``began_ms`` is when the first line was written, ``is_of_requests`` whether it told.
    """

    inode: int
    first: str = ""
    began_ms: int = 0
    is_of_requests: bool = True


class Chunk(msgspec.Struct, frozen=True):
    """The lines that are being sent, and all that their body depends on.

    ``attempted_at`` (seconds since the epoch) is not later than the first attempt that the server may have taken.
    ``unknown`` are the logins left out; rows whose ``ts`` is not after ``too_old`` or not before ``too_new`` are, too.
    ``is_raw`` says that requests are sent one by one.
    """

    start: int
    end: int
    key: str
    worker: str
    attempted_at: float
    unknown: tuple[str, ...] = ()
    too_old: str = ""
    too_new: str = ""
    is_raw: bool = False


class Totals(msgspec.Struct, frozen=True):
    """Counts of lines and requests; each line is shipped, or one of the four reasons why not."""

    lines: int = 0
    shipped: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    bad: int = 0
    unauthenticated: int = 0
    unknown: int = 0
    untimely: int = 0

    def plus(self, other: Totals) -> Totals:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Totals(*(a + b for a, b in zip(mine, theirs, strict=True)))


class State(msgspec.Struct, frozen=True):
    """Everything before ``offset`` in ``file`` is settled; ``line`` is how many lines that is.

    ``done`` are the first lines of the files that were finished before, the latest hundred.
    """

    file: Identity | None = None
    offset: int = 0
    line: int = 0
    totals: Totals = Totals()
    chunk: Chunk | None = None
    done: tuple[str, ...] = ()


class Store:
    """The state file of one log."""

    def __init__(self, log: Path) -> None:
        self.path = log.with_name(log.name + SUFFIX)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raises Stop when another shipper of the log runs. A lock dies with its process."""
        # A file of its own: the state file is replaced, and a lock on the old one would keep nobody out.
        with self.path.with_name(self.path.name + ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Stop("This log is being shipped by another process.") from None
            yield

    def load(self) -> State:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise Stop(f"The state file {self.path} cannot be understood ({fault}).") from None

    def save(self, state: State) -> None:
        """Durable when it returns. Whoever dies before the rename has changed nothing, after it everything."""
        draft = self.path.with_name(self.path.name + ".new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(state)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
