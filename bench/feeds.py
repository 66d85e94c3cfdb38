"""Time the gateway feeds, alone and beside an import of history, against a view that only authenticates the key.

The view is requested alternately with the feeds. The delay that both see beside the import is the machine's; any
further delay of a feed is its own.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.bodies import Owner
from bench.support import (
    ROOT,
    TIMEOUT_SECONDS,
    Embedded,
    RatioTarget,
    connected,
    environment,
    median,
    milliseconds_of_get,
    percentile,
    print_table,
    serving,
)

LOGINS: Final = 10_000
ORDERS: Final = 1_000
ROWS: Final = 100_000
CALLS: Final = 100
DAYS: Final = 700
PATHS: Final = {
    "empty view": "/gateway/empty",
    "/provisioning/exhausted": "/provisioning/exhausted?limit=100",
    "/gateway/logins": "/gateway/logins?limit=100",
}
# How much more an import may slow a feed than the view.
RATIO: Final = RatioTarget(most=1.5)

Times = dict[str, list[float]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=ROWS, help="of history")
    arguments.add_argument("--logins", type=int, default=LOGINS)
    arguments.add_argument("--orders", type=int, default=ORDERS)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name:
        data_dir = Path(name) / "data"
        with Embedded(data_dir) as embedded:
            key, owners = embedded.run("gateway_logins.fill", given.orders, given.logins, 0)
        history = Path(name) / "history"
        _write_history(history, owners, given.rows)
        with serving(data_dir, ROOT, DJANGO_SETTINGS_MODULE="bench.gateway_settings") as server:
            turns = iter(range(CALLS))
            alone = _ask(server.port, key, lambda: next(turns, None) is not None)
            command = [sys.executable, "manage.py", "import_history", str(history)]
            with subprocess.Popen(command, cwd=ROOT, env=environment(data_dir), stdout=subprocess.PIPE) as importing:
                beside = _ask(server.port, key, lambda: importing.poll() is None or _is_under_way(data_dir))
            assert importing.returncode == 0
    calls = len(beside["empty view"])
    print(f"{given.logins:,} logins, {given.rows:,} rows of history, {calls} calls of each beside their import\n")
    _print(alone, beside)


def _write_history(path: Path, owners: Sequence[Owner], rows: int) -> None:
    newest = datetime.now(UTC) - timedelta(days=30)
    with path.open("w") as file:
        for number in range(rows):
            owner = owners[number % len(owners)]
            row = {
                "ts": f"{newest - timedelta(minutes=number * DAYS * 1440 // rows):%Y-%m-%d %H:%M:%S}",
                "user_id": owner.user_id,
                "order_id": owner.order_id,
                "domain": f"host-{number % 1000}.example",
                "count": 1,
                "bytes_sent": 100,
                "bytes_received": 1_000,
            }
            file.write(f"{json.dumps(row)}\n")


def _is_under_way(data_dir: Path) -> bool:
    """Whether the server has yet to insert rows of the import or to post them to the ledger."""
    with closing(sqlite3.connect(data_dir / "fonproxy.sqlite3", timeout=TIMEOUT_SECONDS)) as journal:
        return bool(journal.execute("SELECT 1 FROM analytics_ingestbatch WHERE NOT is_accounted").fetchone())


def _ask(port: int, key: str, goes_on: Callable[[], bool]) -> Times:
    """The milliseconds of each call; the paths are requested alternately."""
    times: Times = {case: [] for case in PATHS}
    headers = {"x-api-key": key}
    with connected(port) as connection:
        while goes_on():
            for case, path in PATHS.items():
                times[case].append(milliseconds_of_get(connection, path, headers))
    return times


def _print(alone: Times, beside: Times) -> None:
    slower = {case: median(beside[case]) / median(alone[case]) for case in PATHS}
    rows = []
    for case in PATHS:
        ratio, times = slower[case] / slower["empty view"], beside[case]
        figures = (median(alone[case]), median(times), percentile(times, 99), max(times))
        milliseconds = (f"{value:.1f}" for value in figures)
        rows.append((case, *milliseconds, f"{slower[case]:.2f}", f"{ratio:.2f}", RATIO.verdict(ratio)))
    header = ("milliseconds", "p50 alone", "p50 beside", "p99 beside", "max beside", "beside/alone", "of empty", "")
    print_table(header, rows)


if __name__ == "__main__":
    main()
