"""What goes through ClickHouse, done again over the native protocol: its suites run in a process of their own.

The other suites of the API go through the same few calls; ``make stack`` runs them on a server too.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import clickhouse

SUITES = ("tests/fonproxy/clickhouse", "tests/contract/test_fonproxy_analytics.py", "tests/analytics/test_journal.py")


def test_the_engine_s_clients_and_the_api_behave_the_same_on_a_server() -> None:
    with clickhouse.running() as endpoint:
        outcome = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "--no-header", *SUITES],
            env={**os.environ, "CLICKHOUSE_URL": endpoint.url},
            capture_output=True,
            text=True,
        )
    assert outcome.returncode == 0, outcome.stdout[-5000:]
