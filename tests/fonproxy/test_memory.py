"""Memory of a serving process; most of it is tested in processes of their own, because it cannot be undone."""

from __future__ import annotations

import subprocess
import sys

from fonproxy.memory import unchanged_library_pages
from tests.serving import ROOT


def test_arrow_takes_its_memory_from_the_systems_allocator() -> None:
    program = (
        "import pyarrow as pa; from fonproxy.memory import share_arenas;"
        "before = pa.default_memory_pool().backend_name; share_arenas();"
        "print(before != 'system', pa.default_memory_pool().backend_name)"
    )
    assert printed(program) == "True system\n"


def test_only_objects_that_are_made_later_are_collected() -> None:
    program = (
        "import gc; from fonproxy.memory import freeze_loaded_objects;"
        "count = len(gc.get_objects()); freeze_loaded_objects();"
        "later = []; later.append(later); del later;"
        "print(count > 10_000, len(gc.get_objects()) < 100, gc.collect() >= 1)"
    )
    assert printed(program) == "True True True\n"


def test_pages_of_libraries_are_released_and_the_engine_still_answers() -> None:
    program = (
        "import chdb, re; from pathlib import Path; from fonproxy.memory import release_library_pages;"
        "resident = lambda: int(re.search(r'RssFile:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]);"
        "before = resident(); release_library_pages(); after = resident();"
        "print(before > 100_000, after < before / 3, chdb.query('SELECT sum(number) FROM numbers(10)'))"
    )
    assert printed(program) == "True True 45\n\n"


def test_pages_that_the_loader_changed_are_kept() -> None:
    program = (
        "import chdb; from pathlib import Path; from fonproxy.memory import release_library_pages;"
        "anonymous = lambda: sum(int(line.split()[1]) for line in Path('/proc/self/smaps_rollup').open()"
        " if line.startswith('Anonymous:')); before = anonymous(); release_library_pages();"
        "print(anonymous() > before * 0.8)"
    )
    assert printed(program) == "True\n"


def test_a_mapping_is_unchanged_if_no_page_of_it_was_changed_or_swapped_out() -> None:
    smaps = "".join(
        f"{start:x}000-{start:x}fff {rights} 00000000 fe:00 12 {file}\nSize: 4 kB\nRss: 4 kB\n"
        f"Anonymous: {changed} kB\nLazyFree: 0 kB\nSwap: {swapped} kB\nLocked: 0 kB\nVmFlags: rd mr mw me\n"
        for start, (rights, file, changed, swapped) in enumerate(
            (
                ("r--p", "/usr/lib/libc.so.6", 0, 0),
                ("r--p", "/usr/lib/libc.so.6", 4, 0),
                ("r--p", "/usr/lib/libc.so.6", 0, 4),
                ("rw-p", "/usr/lib/libc.so.6", 0, 0),
                ("r-xp", "/usr/lib/engine.abi3.so", 0, 0),
                ("r--p", "/var/data", 0, 0),
            ),
            16,
        )
    )
    assert list(unchanged_library_pages(smaps)) == [(0x10000, 0x10FFF), (0x14000, 0x14FFF)]


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout
