"""Run the ClickHouse suites over the native protocol: ``python -m tests.on_clickhouse_server [pytest arguments]``.

The server is ``tests.clickhouse_server``; each test process has a database of its own on it. The other suites of the
API use the same few calls; ``make stack`` runs them on a server too. With ``--replicated`` the tables are replicated
and kept by a private ZooKeeper (``make test-replicated``).
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import clickhouse, keeper
from tests.serving import ROOT

SUITES = (
    "tests/fonproxy/clickhouse",
    "tests/contract/test_fonproxy_analytics.py",
    "tests/analytics/ingest/test_journal.py",
)


def main(*arguments: str) -> int:
    with clickhouse.running() as endpoint:
        return subprocess.run(
            [sys.executable, "-m", "pytest", *SUITES, *arguments],
            cwd=ROOT,
            env={**os.environ, "CLICKHOUSE_URL": endpoint.url},
            check=False,
        ).returncode


def on_replicated_tables(*arguments: str) -> int:
    with keeper.running() as zookeeper:
        os.environ |= {keeper.VARIABLE: str(zookeeper.port), "FONPROXY_CLICKHOUSE_REPLICATED": "true"}
        return main(*arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--replicated"]:
        sys.exit(on_replicated_tables(*sys.argv[2:]))
    sys.exit(main(*sys.argv[1:]))
