"""Time one evaluation of all alerts against its bare query to the engine, and measure how long firing takes.

Every order has an alert, and none is due during the timed evaluation. The bare query is the one that the evaluation
runs, with the same values. Both run alternately in one process, and the medians are compared.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

from bench.support import Embedded, RatioTarget, median, print_table

ORDERS: Final = 100_000
BUCKETS: Final = 20_000_000
ROUNDS: Final = 5
DUE: Final = 500
ABOVE_BARE: Final = RatioTarget(most=3)
SECONDS: Final = RatioTarget(most=10)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=ORDERS)
    arguments.add_argument("--buckets", type=int, default=BUCKETS)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name, Embedded(Path(name)) as embedded:
        held = embedded.run("alert_orders.fill", given.orders, given.buckets)
        bare, whole = [], []
        for _ in range(ROUNDS):
            bare.append(embedded.run("alert_orders.seconds_of_query"))
            whole.append(embedded.run("alert_orders.seconds_of_evaluation"))
        fired = embedded.run("alert_orders.seconds_of_firing", DUE)
    once, ratio = median(whole), median(whole) / median(bare)
    print(f"{given.orders:,} armed alerts, {held:,} buckets\n")
    rows = [
        ("bare query", f"{median(bare):.2f}", "", ""),
        ("evaluation", f"{once:.2f}", f"{ratio:.2f}", ABOVE_BARE.verdict(ratio)),
    ]
    print_table(("", "seconds", "of bare", ""), rows)
    print(SECONDS.verdict(once))
    print(f"{DUE} firings: {fired:.2f} s on top")


if __name__ == "__main__":
    main()
