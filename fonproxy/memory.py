"""Keeps memory that was used once from staying with a process that serves."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

import pyarrow as pa

M_ARENA_MAX: Final = -8  # of malloc.h
ARENAS: Final = 2


def share_arenas() -> None:
    """Few arenas for all threads, and Arrow's columns in them too. Before any thread is started.

    By default glibc gives each of some hundred threads an arena, and Arrow has an allocator of its own; each keeps
    what the largest body once took.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    pa.set_memory_pool(pa.system_memory_pool())
