"""A serving process shares few arenas; tested in a process of its own, because it cannot be undone."""

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
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True system\n", "")
