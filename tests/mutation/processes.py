"""Runs a function in a process of its own, until it ends or hangs.

Whether it hangs is judged by the CPU time it uses, not by the clock: on a busy machine everything takes longer.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

# A process hangs if it used less than this share of a core at this many checks in a row, a second or more apart. The
# idle engine uses less; a process that wants to run gets more, even on a machine with ten times too much to do.
IDLE_SHARE: Final = 0.05
IDLE_LOOKS: Final = 20
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Ending(NamedTuple):
    code: int | None  # none if it was killed because it hung
    cpu_seconds: float


def run(function: Callable[[], None], cpu_limit: float | None = None, idle_looks: int = IDLE_LOOKS) -> Ending:
    """Ends it, with all its processes, if it uses more CPU time than the limit, or next to none for a while."""
    before = _of_children()
    process = multiprocessing.get_context("fork").Process(target=_in_group, args=(function,))
    process.start()
    used: list[float] = []
    try:
        process.join(1)
        while process.is_alive() and not (cpu_limit and _hangs(used, cpu_limit, idle_looks)):
            used.append(_of_group(process.pid or 0))
            process.join(1)
        code = process.exitcode
    finally:
        if process.is_alive():
            with suppress(ProcessLookupError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
    return Ending(code, _of_children() - before)


def _hangs(used: list[float], cpu_limit: float, idle_looks: int) -> bool:
    is_idle = len(used) > idle_looks and used[-1] - used[-1 - idle_looks] < IDLE_SHARE * idle_looks
    return is_idle or bool(used and used[-1] > cpu_limit)


def _in_group(function: Callable[[], None]) -> None:
    os.setpgid(0, 0)
    function()


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _of_group(group: int) -> float:
    """The CPU time of the group's processes and of their children that have ended."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            # After the command, which may hold spaces: state, parent, group, ...
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS
