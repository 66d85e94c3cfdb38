"""A deadline for a whole exchange over a socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer


@contextmanager
def hanging_up_at(deadline: float, sock: socket.socket) -> Iterator[None]:
    """Shuts the socket down at that monotonic time: a peer that sends single bytes never exceeds a read timeout."""

    def hang_up() -> None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    late = Timer(max(deadline - time.monotonic(), 0), hang_up)
    late.start()
    try:
        yield
    finally:
        late.cancel()
