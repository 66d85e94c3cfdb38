"""Replicated tables write a token and its part together: a killed insert is exact after its retry, without repair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import keeper
from tests.crash import harness
from tests.engines import embedded_only

pytestmark = [embedded_only, pytest.mark.torture]


@pytest.fixture
def zookeeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    harness.need_strace()
    with keeper.running() as running:
        monkeypatch.setenv(keeper.VARIABLE, str(running.port))
        yield


@pytest.mark.usefixtures("zookeeper")
@pytest.mark.parametrize("spread", ["bucket", "two_months", "requests"])
def test_a_replicated_batch_killed_at_any_rename_is_exact_after_its_retry(tmp_path: Path, spread: str) -> None:
    points = harness.crash_points_in(_prepared(tmp_path / "rehearsal"), spread)
    assert points >= 6  # one part in each of the six targets, at the least

    wrong = {}
    for point in range(1, points + 1):
        killed = harness.kill_in(_prepared(tmp_path / str(point)), spread, point)
        if (found := harness.retried(killed, spread, "--no-repair")) != harness.right(spread):
            wrong[point] = found

    assert wrong == {}


def _prepared(place: Path) -> Path:
    """A separate directory for each point, because ZooKeeper's state of one cannot be copied."""
    directory = place / "clickhouse"
    directory.parent.mkdir()
    harness.prepare(directory)
    return directory
