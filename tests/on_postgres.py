"""Run the suites of the relational store on a private PostgreSQL: ``python -m tests.on_postgres [pytest arguments]``.

Those are the suites of locks, constraints and races. ``make stack`` runs the others on PostgreSQL too.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import postgres
from tests.serving import ROOT

SUITES = (
    "tests/accounts/test_models.py",
    "tests/accounts/test_services.py",
    "tests/orders",
    "tests/usage",
    "tests/dashboard",
    "tests/console",
    "tests/demo",
    "tests/analytics/gateway",
    "tests/analytics/ingest",
    "tests/analytics/traffic/test_push_batches.py",
    "tests/analytics/byteful/test_log_push_batches.py",
    "tests/fonproxy/test_prepared.py",
)


def run(*arguments: str, capture_output: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs pytest with these arguments on a server of its own; returns pytest's outcome."""
    programs = postgres.newest_programs()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.running(programs) as port:
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres"},
            capture_output=capture_output,
            text=True,
            check=False,
        )


if __name__ == "__main__":
    sys.exit(run(*SUITES, *sys.argv[1:]).returncode)
