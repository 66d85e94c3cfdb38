"""Stream a month's usage of all orders: memory and CPU time, at one size and with ten times as many orders.

Each number of orders has an engine of its own. Rows are read to the end and dropped, and the process is measured
between pages. Memory must not grow with the number of orders, nor from the second tenth of a stream to its last.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

from bench.support import Embedded, RatioTarget, print_table
from fonproxy.units import MIB

ORDERS: Final = 100_000
BUCKETS: Final = 24
READS: Final = (("order", False), ("order", True), ("user", False), ("proxyUser", False))
# With ten times as many orders.
MEMORY: Final = RatioTarget(most=2)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=ORDERS)
    given = arguments.parse_args()
    found = {orders: _measured(orders) for orders in (given.orders // 10, given.orders)}
    few, many = found.values()
    rows = [
        (
            f"{group}, {'by day' if by_day else 'total'}",
            f"{large[0]:,}",
            f"{large[1]:.1f}",
            f"{1e6 * large[1] / large[0]:.0f}",
            f"{max(small[2]) / MIB:.0f}",
            f"{max(large[2]) / MIB:.0f}",
            MEMORY.verdict(max(large[2]) / max(*small[2], 64 * MIB)),
            " ".join(f"{peak / MIB:.0f}" for peak in large[2]),
        )
        for (group, by_day), small, large in zip(READS, few, many, strict=True)
    ]
    print_table(("", "rows", "s of CPU", "us per row", f"MiB at {given.orders // 10:,}", "MiB", "", "by tenths"), rows)


def _measured(orders: int) -> list[tuple[int, float, list[int]]]:
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name, Embedded(Path(name)) as embedded:
        held = embedded.run("billing_orders.fill", orders, BUCKETS)
        print(f"{orders:,} orders, {held:,} buckets")
        embedded.run("billing_orders.stream", "order", False)  # warms caches
        return [embedded.run("billing_orders.stream", group, by_day) for group, by_day in READS]


if __name__ == "__main__":
    main()
