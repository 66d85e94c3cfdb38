"""A process at rest: its memory, its processor time and which threads use it.

An empty installation is served, left alone until it has settled, and then measured. The engine's threads have names of
their own; Python's threads share one.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from bench.support import ROOT, Process, RatioTarget, print_table, serving

SETTLE_SECONDS: Final = 30
SECONDS: Final = 60
MEMORY_MB: Final = RatioTarget(most=300)
CPU_PERCENT: Final = RatioTarget(most=1)
_KILOBYTES: Final = re.compile(r"^(Rss|Pss|Anonymous):\s+(\d+) kB$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--tree", type=Path, nargs="+", default=[ROOT], help="checkouts, watched at the same time")
    options = parser.parse_args()
    for tree in options.tree:
        with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name, serving(Path(name), tree) as process:
            time.sleep(SETTLE_SECONDS)
            report(tree.resolve().name, process, options.seconds)


def report(name: str, process: Process, seconds: int) -> None:
    before, started = _by_thread(process.pid), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - started
    used = _by_thread(process.pid)
    used.subtract(before)
    per_tick = 100 / os.sysconf("SC_CLK_TCK") / passed
    percent = sum(used.values()) * per_tick
    memory = memory_mb(process.pid)
    rows = [(thread, f"{ticks * per_tick:.2f}") for thread, ticks in used.most_common() if ticks > 0]
    print_table((f"{name}: threads", "% of a core"), [*rows, ("all", f"{percent:.2f}")])
    print(f"processor: {CPU_PERCENT.verdict(percent)}")
    print(", ".join(f"{kind} {size} MB" for kind, size in memory.items()), MEMORY_MB.verdict(memory["Rss"]), "\n")


def memory_mb(pid: int) -> dict[str, int]:
    """Resident memory, the same with shared pages divided by the processes that map them, and the process's own."""
    return {name: int(size) // 1024 for name, size in _KILOBYTES.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())}


def _by_thread(pid: int) -> Counter[str]:
    """Clock ticks so far, by thread name."""
    found: Counter[str] = Counter()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        head, _, rest = stat.read_text().rpartition(")")
        fields = rest.split()
        found[head.partition("(")[2]] += int(fields[11]) + int(fields[12])
    return found


if __name__ == "__main__":
    main()
