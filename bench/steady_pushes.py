"""Ten minutes of small pushes at the full rate: pushes per second, lag and memory of every half minute.

64 gateways push ten rows at a time, with ``respond-async`` or, with ``--readable``, without. Afterwards every table
must hold exactly the rows that were answered with 204.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.bodies import PushBody
from bench.idle import memory_mb
from bench.small_pushes import PushTotals, check, gateways
from bench.support import ROOT, RatioTarget, percentile, print_table

CONNECTIONS: Final = 64
INTERVAL_SECONDS: Final = 30.0
REST_SECONDS: Final = 30.0
LAG_SECONDS: Final = RatioTarget(most=2)
MEMORY_MB: Final = RatioTarget(most=600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--readable", action="store_true", help="wait until the rows of each push are readable")
    options = parser.parse_args()
    intervals = round(options.minutes * 60 / INTERVAL_SECONDS)
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name:
        data_dir = Path(name, "served")
        taken = run(data_dir, "readable" if options.readable else "durable", intervals)
        check(data_dir, "this", taken)


def run(data_dir: Path, way: str, intervals: int) -> list[PushBody]:
    """Prints the figures of each interval; returns what was acknowledged."""
    taken: list[PushBody] = []
    lags: list[float] = []
    readings, rows = [], []
    started = time.monotonic()
    with gateways(data_dir, ROOT, is_log=False) as (process, ways):
        for _ in range(intervals):
            totals = ways[way].push(CONNECTIONS, INTERVAL_SECONDS)
            taken += totals.taken
            lags += totals.lags
            readings.append(memory_mb(process.pid))
            rows.append((f"{time.monotonic() - started:.0f}", *_figures(totals), *map(str, readings[-1].values())))
            print(*rows[-1], flush=True)
        time.sleep(REST_SECONDS)
        rest = memory_mb(process.pid)
    print_table(("after seconds", f"{way} per second", "CPU ms each", "p99 ms", "most lag ms", "refused", *rest), rows)
    print(f"most lag: {max(lags) / 1000:.2f} s, {LAG_SECONDS.verdict(max(lags) / 1000)}")
    most = max(reading["Rss"] for reading in readings)
    print(f"largest memory: {most} MB, {MEMORY_MB.verdict(most)}")
    print(f"after {REST_SECONDS:.0f} s of rest:", ", ".join(f"{kind} {size} MB" for kind, size in rest.items()))
    return taken


def _figures(totals: PushTotals) -> tuple[str, ...]:
    done = totals.statuses[204]
    return (
        f"{done / totals.seconds:,.0f}",
        f"{totals.cpu_seconds * 1000 / max(1, done):.2f}",
        f"{percentile(totals.milliseconds, 99):.0f}",
        f"{max(totals.lags):.0f}",
        str(sum(totals.statuses.values()) - done),
    )


if __name__ == "__main__":
    main()
