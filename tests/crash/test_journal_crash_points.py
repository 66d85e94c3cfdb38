"""The process is killed at each step of the journal, restarted, and the client repeats its push: counts are exact."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from fonproxy.clickhouse import retention
from tests.crash.pusher import ROWS, SPREADS, rows, tables
from tests.engines import embedded_only
from tests.serving import with_accounts

pytestmark = embedded_only

# Recording, grouping and settling are one transaction each.
POINTS = [
    "before-commit-1",
    "after-commit-1",
    "before-commit-2",
    "after-commit-2",
    "before-insert",
    "after-insert",
    "before-commit-3",
    "after-commit-3",
]


def pusher(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.crash.pusher", *arguments],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "fonproxy.settings",
            "FONPROXY_DATA_DIR": str(directory),
            "DATABASE_URL": "",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_exact_after_dying_at(point: str, spread: str, directory: Path) -> None:
    with_accounts(directory)
    killed = pusher(directory, spread, point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    restarted = pusher(directory, spread)
    assert restarted.returncode == 0, restarted.stderr
    assert json.loads(restarted.stdout) == {
        "status": 200 if spread == "events" else 204,
        "found": {table: right(table, spread) for table in tables(spread)},
    }


def right(table: str, spread: str) -> list[int]:
    """The number of the pushed rows that the table keeps, and their requests."""
    floor = retention.floor(table, datetime.now(UTC))
    counts = [row.get("count", 1) for row in rows(spread) if _time(row) >= floor]
    return [len(counts), sum(counts)]


def _time(row: dict[str, Any]) -> datetime:
    if "timestamp" in row:
        return datetime.fromtimestamp(row["timestamp"], UTC)
    return datetime.fromisoformat(row.get("ts") or row["log_request_datetime"])


def test_the_widest_batch_covers_the_retention_of_each_table() -> None:
    kept = {table: right(table, "retention")[0] for table in tables("retention")}
    assert kept["order_traffic"] == kept["traffic"] == ROWS > kept["daily_host"] > kept["minute_traffic"] == 0


@pytest.mark.parametrize(
    ("point", "spread"),
    [
        ("after-commit-2", "bucket"),
        pytest.param("before-commit-3", "requests", marks=pytest.mark.processes),
        pytest.param("after-insert", "events", marks=pytest.mark.processes),
        pytest.param("after-commit-1", "gateways", marks=pytest.mark.processes),
        pytest.param("after-commit-1", "together", marks=pytest.mark.processes),
        pytest.param("after-commit-1", "requests-together", marks=pytest.mark.processes),
    ],
)
def test_a_push_that_dies_with_the_process_is_exact_after_restart_and_retry(
    point: str, spread: str, tmp_path: Path
) -> None:
    assert_exact_after_dying_at(point, spread, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("point", POINTS)
def test_a_push_that_dies_at_any_step_is_exact_after_restart_and_retry(point: str, spread: str, tmp_path: Path) -> None:
    assert_exact_after_dying_at(point, spread, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("spread", ["bucket", "together", "requests-together"])
def test_the_steps_are_all_there_are(spread: str, tmp_path: Path) -> None:
    """A fourth transaction in the push would be a step without a kill in this test."""
    alive = pusher(tmp_path, spread, "after-commit-4")
    assert alive.returncode == 0, alive.stderr
