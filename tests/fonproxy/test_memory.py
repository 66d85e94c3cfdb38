"""Memory of a serving process; tested in processes of their own, because none of this can be undone."""

from __future__ import annotations

import subprocess
import sys

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


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout
