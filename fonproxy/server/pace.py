"""How long a client may keep the server waiting: a grace period, plus time for every byte transferred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

GRACE_SECONDS: Final = 10.0
BYTES_PER_SECOND: Final = 64 * 2**10


def time_limit(moved: int) -> float:
    """The total seconds that a client may keep the server waiting until it has transferred this many bytes."""
    return GRACE_SECONDS + moved / BYTES_PER_SECOND


class Pace:
    """The time spent waiting for one body or one response."""

    def __init__(self) -> None:
        self._waited = 0.0
        self._moved = 0

    def moved(self, size: int) -> None:
        self._moved += size

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Raises TimeoutError when the block waits for longer than the remaining time."""
        started = monotonic()
        try:
            async with asyncio.timeout(time_limit(self._moved) - self._waited):
                yield
        finally:
            self._waited += monotonic() - started
