"""Memory of a serving process."""

from __future__ import annotations

import ctypes
import gc
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


def freeze_loaded_objects() -> None:
    """Exempts all current objects from garbage collection. Call it when the modules of a serving process are loaded.

    A full collection goes through 200,000 objects otherwise. That takes 0.1 s, in which no other thread runs.
    """
    gc.collect()
    gc.freeze()
