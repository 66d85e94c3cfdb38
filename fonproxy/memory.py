"""Memory of a serving process."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

M_ARENA_MAX: Final = -8  # from malloc.h
ARENAS: Final = 2
MADV_DONTNEED: Final = 4  # from mman.h
# Python's own 700 would mean some fifteen collections while a body of 10,000 rows is read.
NEW_OBJECTS: Final = 20_000
# Start and end of each mapping of a shared library that cannot be written to, and how much of it was changed before: in
# memory, and swapped out.
_LIBRARY_PAGES: Final = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \d+ +/.*\.so\b.*\n"
    r"(?:\w+: .*\n)*?Anonymous: +(\d+) kB\n(?:\w+: .*\n)*?Swap: +(\d+) kB$",
    re.MULTILINE,
)


def share_arenas() -> None:
    """Limits glibc to a few arenas for all threads, and lets Arrow use them too. Call it before any thread is started.

    By default glibc gives each of some hundred threads an arena, and Arrow has its own allocator; each keeps the memory
    of the largest body it ever handled.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    pa.set_memory_pool(pa.system_memory_pool())


def freeze_loaded_objects() -> None:
    """Exempts all current objects from garbage collection, which becomes rarer, and returns freed memory to the system.

    Call it when the modules of a serving process are loaded. A full collection goes through 200,000 objects otherwise.
    That takes 0.1 s, in which no other thread runs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def release_library_pages() -> None:
    """Unmaps the pages of shared libraries from this process; the kernel maps a page again when it is next used.

    Loading the engine touches pages all over its file, of which a server then uses few. Call this while no other thread
    can load a library: the loader changes pages that were unchanged a moment before. Other files are left alone,
    because they may be unmapped at any time.
    """
    advise = ctypes.CDLL(None).madvise
    with suppress(OSError):  # not Linux
        for start, end in unchanged_library_pages(Path("/proc/self/smaps").read_text()):
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def unchanged_library_pages(smaps: str) -> Iterator[tuple[int, int]]:
    """Address ranges; mappings that the loader changed are left out, because the file does not have their content."""
    for start, end, changed, swapped in _LIBRARY_PAGES.findall(smaps):
        if changed == swapped == "0":
            yield int(start, 16), int(end, 16)
