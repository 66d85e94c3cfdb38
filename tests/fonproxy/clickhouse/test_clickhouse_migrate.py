from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings


def _server(data: Path) -> dict[str, str]:
    """A database of the directory's own, where the engine is a server."""
    if settings.CLICKHOUSE_URL is None:
        return {}
    name = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    return {"CLICKHOUSE_URL": f"{settings.CLICKHOUSE_URL}_{name}"}


def _run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, because one process opens one engine."""
    return subprocess.run(
        [sys.executable, "manage.py", "clickhouse_migrate", *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "FONPROXY_DATA_DIR": str(data), **_server(data)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_dry_run_prints_the_sql_and_changes_nothing(tmp_path: Path) -> None:
    first, second = _run(tmp_path, "--dry-run"), _run(tmp_path, "--dry-run")

    assert first.returncode == 0, first.stderr
    assert re.search(r"CREATE TABLE IF NOT EXISTS \w+\.traffic\b", first.stdout)
    assert first.stdout == second.stdout


@pytest.mark.processes
def test_the_schema_is_applied_once(tmp_path: Path) -> None:
    first, second = _run(tmp_path), _run(tmp_path)

    assert first.stdout.startswith("Applied 0001_traffic"), first.stderr
    assert second.stdout == "The schema is up to date.\n"
    assert _run(tmp_path, "--dry-run").stdout == ""
