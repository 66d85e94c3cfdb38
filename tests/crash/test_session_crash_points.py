"""The process is killed while it handles a sample of a running connection: the next sample makes the total exact."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.crash.test_journal_crash_points import POINTS
from tests.engines import embedded_only
from tests.serving import with_accounts

pytestmark = embedded_only


def sampler(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"DJANGO_SETTINGS_MODULE": "fonproxy.settings", "DATABASE_URL": ""}
    return subprocess.run(
        [sys.executable, "-m", "tests.crash.sampler", *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, **environment, "FONPROXY_DATA_DIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=180,
    )


def assert_exact_after_dying_at(point: str, later: int, directory: Path) -> None:
    with_accounts(directory)
    killed = sampler(directory, "250", point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    restarted = sampler(directory, str(later))
    assert restarted.returncode == 0, restarted.stderr
    assert json.loads(restarted.stdout) == {"status": 204, "bytes": later, "requests": 1}


@pytest.mark.processes
@pytest.mark.parametrize(("point", "later"), [("before-commit-1", 250), ("after-commit-1", 400)])
def test_a_sample_that_dies_with_the_process_is_counted_once(point: str, later: int, tmp_path: Path) -> None:
    assert_exact_after_dying_at(point, later, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("later", [250, 400])
@pytest.mark.parametrize("point", POINTS)
def test_a_sample_that_dies_at_any_step_is_counted_once(point: str, later: int, tmp_path: Path) -> None:
    assert_exact_after_dying_at(point, later, tmp_path)


@pytest.mark.torture
def test_the_steps_are_all_there_are(tmp_path: Path) -> None:
    alive = sampler(tmp_path, "250", "after-commit-4")
    assert alive.returncode == 0, alive.stderr
