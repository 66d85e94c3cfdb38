"""Time staff console pages over 1,000,000 static IPs and 100,000 orders against the same pages over a hundredth.

For each kind of store, both sizes have a process of their own. The pages are requested alternately. The target is for
the time that a page of the larger one spends in the database.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench.support import Embedded, RatioTarget, median, print_table
from tests import postgres

ADDRESSES: Final = 1_000_000
ORDERS: Final = 100_000
SMALLER: Final = 100
ROUNDS: Final = 3
MILLISECONDS: Final = RatioTarget(most=300)
STORES: Final = ("sqlite", "postgresql")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--addresses", type=int, default=ADDRESSES)
    arguments.add_argument("--orders", type=int, default=ORDERS)
    arguments.add_argument("--store", choices=STORES, action="append")
    given = arguments.parse_args()
    for store in given.store or STORES:
        with _embedded(store) as (small, full):
            full.run("admin_pages.fill", given.addresses, given.orders)
            small.run("admin_pages.fill", given.addresses // SMALLER, given.orders // SMALLER)
            _compare(store, small, full)


@contextmanager
def _embedded(store: str) -> Iterator[tuple[Embedded, Embedded]]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fonproxy-bench-")))
        embedded = []
        for name in ("small", "full"):
            variables = {"FONPROXY_STAFF_SECOND_FACTOR": "false"}  # staff sign in without a second factor here
            if store == "postgresql":
                port = stack.enter_context(postgres.running(postgres.required_programs()))
                variables["DATABASE_URL"] = f"postgres://postgres@127.0.0.1:{port}/postgres"
            embedded.append(stack.enter_context(Embedded(directory / name, **variables)))
        small, full = embedded
        yield small, full


def _compare(store: str, small: Embedded, full: Embedded) -> None:
    rows = []
    for name, path in full.run("admin_pages.pages").items():
        times = [
            [time for one in (small, full) for time in one.run("admin_pages.milliseconds", path)] for _ in range(ROUNDS)
        ]
        _, few_database, few_cpu, many, many_database, many_cpu = (
            median(column) for column in zip(*times, strict=True)
        )
        figures = (f"{number:.0f}" for number in (many, many_cpu, few_cpu, few_database, many_database))
        rows.append((name, *figures, MILLISECONDS.verdict(many_database)))
    header = ("by the clock", "CPU", "CPU of a hundredth", "database, of a hundredth", "database", "")
    print_table((f"{store}, p50 in milliseconds", *header), rows)


if __name__ == "__main__":
    main()
