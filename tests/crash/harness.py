"""Kills a process at a numbered rename of an insert, and checks the data in the next process.

A rename makes a finished part visible, so between two renames lies every state that a killed insert can leave. strace
kills the process on entering the system call, before it takes place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from django.conf import settings

from tests.crash.child import disputed, earlier
from tests.fonproxy.clickhouse.batches import Totals, expected

RENAMES: Final = "rename,renameat,renameat2"
STRACE: Final = ("strace", "-f", "-qq", "-e", f"trace={RENAMES}")
_RENAME_OF_THREAD: Final = re.compile(r"^(\d+) +rename", re.MULTILINE)


def need_strace() -> None:
    """Skips the test without strace; in continuous integration that is a failure, so that it is noticed."""
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace is not installed")


def _child(directory: Path, *arguments: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, sys.executable, "-m", "tests.crash.child", str(directory), *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "fonproxy.settings"},
        capture_output=True,
        text=True,
        timeout=180,
    )


def prepare(directory: Path) -> None:
    """An engine directory with the schema and one earlier batch."""
    child = _child(directory, "setup")
    assert child.returncode == 0, child.stderr


def crash_points(base: Path, spread: str) -> int:
    """The number of renames in the insert; the process can be killed at each."""
    return crash_points_in(_copy(base, f"rehearsal-{spread}"), spread)


def crash_points_in(directory: Path, spread: str) -> int:
    """The same, with the insert made in the directory itself."""
    trace = directory.with_name("trace")
    child = _child(directory, "insert", spread, under=(*STRACE, "-o", str(trace)))
    assert child.returncode == 0, child.stderr
    # Counted per thread, as strace does for `when=`: the inserting thread has most of them.
    return max(Counter(_RENAME_OF_THREAD.findall(trace.read_text())).values())


def killed_at(base: Path, spread: str, point: int) -> Path:
    """A copy of the directory as left by a process that was killed at this rename of its insert."""
    return kill_in(_copy(base, f"{spread}-{point}"), spread, point)


def kill_in(directory: Path, spread: str, point: int) -> Path:
    """The same directory, in which a process was killed at this rename of its insert."""
    inject = f"inject={RENAMES}:signal=KILL:when={point}"
    child = _child(directory, "insert", spread, under=(*STRACE, "-e", inject, "-o", "/dev/null"))
    assert child.returncode == -signal.SIGKILL, child.stderr
    return directory


def refused_at(base: Path, spread: str, point: int) -> Totals:
    """The rows of every table after the disk was full at this rename and the same process sent the batch again."""
    directory = _copy(base, f"{spread}-full-{point}")
    inject = f"inject={RENAMES}:error=ENOSPC:when={point}"
    child = _child(directory, "persist", spread, under=(*STRACE, "-e", inject, "-o", "/dev/null"))
    assert child.returncode == 0, child.stderr
    assert "refused: " in child.stderr
    shutil.rmtree(directory.parent)
    return _totals(child.stdout)


def retried(directory: Path, spread: str, *flags: str) -> Totals:
    """The rows of every table after a new process has sent the same batch again."""
    child = _child(directory, "retry", spread, *flags)
    assert child.returncode == 0, child.stderr
    shutil.rmtree(directory.parent)
    return _totals(child.stdout)


def _totals(text: str) -> Totals:
    return {table: tuple(totals) for table, totals in json.loads(text).items()}


def right(spread: str) -> Totals:
    """The rows that every table must then have."""
    return expected(earlier(), disputed(spread))


def _copy(base: Path, name: str) -> Path:
    directory = Path(tempfile.mkdtemp(prefix=name, dir=base.parent)) / "clickhouse"
    # The engine reaches its databases through symbolic links; a copy that follows them does not open.
    shutil.copytree(base, directory, symlinks=True)
    return directory
