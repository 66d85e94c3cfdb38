"""Lines from standard input or a syslog socket, written to a file from which they are shipped.

When the file has grown, a new one replaces it; the shipper deletes a replaced file once it is shipped.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from fonproxy_agent.errors import UsageError
from fonproxy_agent.waiting import Cancellation

MAX_SPOOL_BYTES: Final = 64 * 2**20
MAX_DATAGRAM: Final = 2**16
RECEIVE_BUFFER: Final = 4 * 2**20
WAKE_SECONDS: Final = 0.5


class Spool:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        with path.open("rb") as written:
            if self._file.tell() and os.pread(written.fileno(), 1, self._file.tell() - 1) != b"\n":
                self._file.write(b"\n")  # an earlier run was killed in the middle of a line

    def close(self) -> None:
        self._file.close()

    def append(self, line: bytes) -> None:
        """Appends one line, given without its line end."""
        self._file.write(line.replace(b"\n", b" ") + b"\n")
        if self._file.tell() >= MAX_SPOOL_BYTES:
            self._file.close()
            os.rename(self._path, f"{self._path}.{time.time_ns()}")
            self._file = self._path.open("ab", buffering=0)


def open_source(source: str, stdin: BinaryIO, cancellation: Cancellation) -> Iterator[bytes]:
    """Yields lines of a source until it ends or the agent is cancelled. Raises UsageError and OSError at once."""
    if source == "stdin":
        return (line.rstrip(b"\r\n") for line in stdin)
    return _datagrams(_socket(source), cancellation)


def _datagrams(receiver: socket.socket, cancellation: Cancellation) -> Iterator[bytes]:
    with receiver:
        receiver.settimeout(WAKE_SECONDS)
        while not cancellation.is_set:
            with suppress(TimeoutError):
                yield receiver.recv(MAX_DATAGRAM).rstrip(b"\r\n\0")


def _socket(source: str) -> socket.socket:
    parts = urlsplit(source)
    if parts.scheme == "syslog+udp" and parts.hostname and parts.port:
        address: tuple[str, int] | str = (parts.hostname, parts.port)
        family = socket.AF_INET6 if ":" in parts.hostname else socket.AF_INET
    elif parts.scheme == "syslog+unix" and parts.path:
        address, family = parts.path, socket.AF_UNIX
        Path(parts.path).unlink(missing_ok=True)
    else:
        raise UsageError(
            'source in [ship] is "stdin", "syslog+udp://127.0.0.1:5514" or "syslog+unix:///run/agent.sock".'
        )
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    receiver.bind(address)
    return receiver
