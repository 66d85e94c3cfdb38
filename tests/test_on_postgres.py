"""What the relational store has to do, done again on PostgreSQL: its suites run in a process of their own.

Those are the suites of locks, constraints and races; ``make stack`` runs the others on PostgreSQL too.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import postgres

SUITES = (
    "tests/accounts/test_models.py",
    "tests/accounts/test_services.py",
    "tests/usage",
    "tests/analytics/test_journal.py",
    "tests/test_console_lists.py",
)


def test_accounts_and_journal_behave_the_same_on_postgresql() -> None:
    with postgres.running(postgres.required_programs()) as port:
        outcome = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "--no-header", *SUITES],
            env={**os.environ, "DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres"},
            capture_output=True,
            text=True,
        )
    assert outcome.returncode == 0, outcome.stdout[-5000:]
