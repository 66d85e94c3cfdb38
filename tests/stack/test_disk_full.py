"""The disk under the single process is full for a while, while clients push and read.

Needs root, to mount a small one.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.engines import embedded_only
from tests.serving import Server
from tests.stack import books, faults
from tests.stack.load import Load, loaded

pytestmark = [pytest.mark.torture, embedded_only]

DISK: Final = "300m"
FULL_SECONDS: Final = 30.0
AFTERWARDS_SECONDS: Final = 3.0
SETTINGS: Final = {"FONPROXY_THROTTLE_READ": "1000000/min", "FONPROXY_THROTTLE_PUBLIC": "1000000/min"}


@pytest.fixture
def disk() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    with tempfile.TemporaryDirectory(prefix="fonproxy-disk-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "fonproxy", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


class Ballast:
    """A file that fills the rest of the disk."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "ballast"

    def fill(self) -> None:
        """Keeps the disk full until the time is over, including space that the engine frees."""
        until = time.monotonic() + FULL_SECONDS
        with self._path.open("wb", buffering=0) as file:
            while time.monotonic() < until:
                with suppress(OSError):
                    while file.write(bytes(2**16)):
                        pass
                time.sleep(0.05)

    def drop(self) -> None:
        self._path.unlink()


def test_a_disk_that_is_full_for_a_while_loses_no_row(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir, ballast = disk / "data", Ballast(disk)
    data_dir.mkdir()
    server = Server(data_dir, **SETTINGS)
    try:
        with loaded([server], f"{uuid.uuid4().hex}.example") as load:
            lasted = faults.lasting(ballast.fill, 0, ballast.drop)
            recovery = faults.seconds_until(lambda: _is_as_before(data_dir, load, lasted), lasted.ended)
            time.sleep(AFTERWARDS_SECONDS)
            account = load.finish()
        with capsys.disabled():
            case = f"the disk of the one process is full for {FULL_SECONDS:.0f} s"
            print("\n" + faults.row(case, load, lasted, recovery), end="")  # noqa: T201
        faults.seconds_until(lambda: _unfinished(data_dir, datetime.now(UTC)) == 0, time.monotonic())
        assert server.requests_of_alice(load.domain) == account.requests["alice"]
    finally:
        server.stop()
    assert books.held(data_dir, datetime.fromtimestamp(0, UTC)) == books.right(account)
    assert faults.wrong(load.calls) == []
    assert any(call.kind == "push" and call.outcome == "503" for call in load.calls), "the disk was never full"


def _is_as_before(data_dir: Path, load: Load, lasted: faults.Lasted) -> bool:
    return load.is_served_since(lasted.ended) and _unfinished(data_dir, lasted.over_at) == 0


def _unfinished(data_dir: Path, before: datetime) -> int:
    return books.unfinished(data_dir / "fonproxy.sqlite3", before)
