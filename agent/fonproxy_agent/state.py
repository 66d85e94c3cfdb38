"""The progress of a shipper, kept between runs in a file beside the log.

The file is replaced as a whole: a process that dies leaves the old state or the new one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from fonproxy_agent import atomic
from fonproxy_agent.errors import Stop

SUFFIX: Final = ".fonproxy"


class Identity(msgspec.Struct, frozen=True):
    """Identifies a log file across renames.

    ``first`` is the hash of its first line, which begins with a time in milliseconds; empty while there is no line. A
    copy of the file has the same hash; ``inode`` prefers the original among copies. The device is left out because its
    number may change when the machine restarts. ``began_ms`` is the time of the first line, or the file's last change
    if that line has no time (``is_of_requests`` is then false).
    """

    inode: int
    first: str = ""
    began_ms: int = 0
    is_of_requests: bool = True


class Chunk(msgspec.Struct, frozen=True):
    """The lines that are being sent, and everything on which their body depends.

    ``attempted_at`` (seconds since the epoch) is not later than the first attempt that the server may have accepted.
    The logins ``unknown`` to the server are left out, and so are rows whose ``ts`` is at or before ``too_old``, or at
    or after ``too_new``. ``is_raw``: requests are sent as single rows. ``from_right``: if a log leaves open how many
    words a login has, the shortest reading comes first, else the longest. ``watched`` has the lines of the chunk, from
    0, that end a session, with the session's name, login and start in milliseconds.
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
    from_right: bool = False
    watched: tuple[tuple[int, str, str, int], ...] = ()


class ShipperState(msgspec.Struct, frozen=True):
    """Everything before ``offset`` in ``file``, ``line`` lines, is done.

    ``done`` has the hashes of the first lines of the latest hundred finished files.
    """

    file: Identity | None = None
    offset: int = 0
    line: int = 0
    chunk: Chunk | None = None
    done: tuple[str, ...] = ()


class StateFile:
    """Reads and replaces the state file of one log."""

    def __init__(self, log: Path) -> None:
        self.path = log.with_name(log.name + SUFFIX)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raises Stop if another shipper of this log is running. The lock ends with its process."""
        # A separate lock file, because each save replaces the state file.
        with self.path.with_name(self.path.name + ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Stop("This log is being shipped by another process.") from None
            yield

    def load(self) -> ShipperState:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=ShipperState)
        except FileNotFoundError:
            return ShipperState()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Stop(f"The state file {self.path} cannot be read ({error}).") from None

    def save(self, state: ShipperState) -> None:
        """Replaces the file atomically; durable on return."""
        atomic.replace(self.path, msgspec.json.format(msgspec.json.encode(state)))
