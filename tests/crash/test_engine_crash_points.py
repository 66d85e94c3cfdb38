"""A process killed at any point of an insert, and a retry under the same token: every table is exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import harness
from tests.crash.child import SPREADS
from tests.engines import embedded_only

pytestmark = embedded_only
processes = pytest.mark.processes


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    harness.need_strace()
    directory = tmp_path_factory.mktemp("crash") / "clickhouse"
    harness.prepare(directory)
    return directory


@pytest.mark.parametrize(
    ("spread", "point"),
    [
        pytest.param("two_months", 1, marks=processes),  # the first target's first partition: no rows are there yet
        ("two_months", 6),  # in the middle: some targets have their rows, others do not
        pytest.param("bucket", 3, marks=processes),
        # The log has its rows, and the tables that follow from it do not.
        pytest.param("requests", 9, marks=processes),
        pytest.param("retention", 40, marks=processes),  # so many partitions that parts are written in several rounds
    ],
)
def test_a_batch_killed_halfway_is_exact_after_its_retry(base: Path, spread: str, point: int) -> None:
    assert harness.retried(harness.killed_at(base, spread, point), spread) == harness.right(spread)


@processes
@pytest.mark.parametrize("point", [1, 6])
def test_a_batch_refused_by_a_full_disk_is_exact_after_its_retry_in_the_same_process(base: Path, point: int) -> None:
    assert harness.refused_at(base, "two_months", point) == harness.right("two_months")


@processes
def test_without_the_repair_the_same_crash_loses_rows(base: Path) -> None:
    """Shows that these tests would notice: the engine's token alone is not enough."""
    found = harness.retried(harness.killed_at(base, "two_months", 6), "two_months", "--no-repair")

    right = harness.right("two_months")
    damaged = [table for table in right if found[table] != right[table]]
    assert len(damaged) == 1
    assert found[damaged[0]][0] < right[damaged[0]][0]


@pytest.mark.torture
@pytest.mark.parametrize("spread", SPREADS)
def test_a_batch_killed_at_any_rename_is_exact_after_its_retry(base: Path, spread: str) -> None:
    points = harness.crash_points(base, spread)
    assert points >= 6  # one part in each of the six targets, at the least

    wrong = {
        point: found
        for point in range(1, points + 1)
        if (found := harness.retried(harness.killed_at(base, spread, point), spread)) != harness.right(spread)
    }

    assert wrong == {}
