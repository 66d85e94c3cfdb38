"""Lets a serving process return memory that it used once."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

import pyarrow as pa

M_ARENA_MAX: Final = -8  # from malloc.h
ARENAS: Final = 2


def share_arenas() -> None:
    """Limits glibc to a few arenas for all threads, and lets Arrow use them too. Call it before any thread is started.

    By default glibc gives each of some hundred threads an arena, and Arrow has its own allocator; each keeps the memory
    of the largest body it ever handled.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    pa.set_memory_pool(pa.system_memory_pool())
