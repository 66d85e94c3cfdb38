"""Disk space per row, table by table, once parts are merged; and how many requests make a row.

These are the numbers in docs/scaling.md. Amounts in the bodies are random, which compresses worse than real ones. It
needs the agent on the path: `PYTHONPATH=agent python -m bench.storage`.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from pathlib import Path
from typing import Final

from fonproxy_agent.request import Request
from fonproxy_agent.rows import aggregate
from fonproxy_agent.squid.lines import parse

from bench.support import ROOT, Embedded, print_table

ROWS: Final = 1_000_000
ORDERS: Final = 1_000
SAMPLE: Final = ROOT / "agent" / "tests" / "data" / "access.log.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--orders", type=int, default=ORDERS)
    options = parser.parse_args()
    report_sample()
    for name, function, arguments in (
        ("rows added up", "storage_tables.fill", (options.rows, options.orders, False)),
        ("single requests", "storage_tables.fill", (options.rows, options.orders, True)),
        ("events", "storage_tables.fill_events", (options.rows,)),
    ):
        with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as directory, Embedded(Path(directory)) as engine:
            journal = engine.run(function, *arguments)
            if journal is not None:
                print(f"{name}: {journal:.1f} bytes per row in the journal\n")
            report(f"{options.rows:,} {name}", options.rows, engine.run("storage_tables.held"))


def report_sample() -> None:
    """How many rows a real proxy's log becomes when it is aggregated by minute, login, domain and error."""
    parsed = [parse(line) for line in gzip.decompress(SAMPLE.read_bytes()).splitlines(keepends=True)]
    requests = [request for request in parsed if isinstance(request, Request)]
    rows = aggregate(requests, "worker")
    logins, domains = ({getattr(one, name) for one in requests} for name in ("login", "domain"))
    print(f"A real proxy's log: {len(requests):,} requests of {len(logins)} logins to {len(domains)} domains become")
    print(f"{len(rows):,} rows added up by minute: {len(requests) / len(rows):.1f} requests a row.\n")


def report(title: str, pushed: int, held: dict[str, tuple[int, int]]) -> None:
    """Per table: its rows, its rows per row pushed, and its bytes per row of its own and per row pushed."""
    rows = [
        (table, f"{count:,}", f"{count / pushed:.3f}", f"{size / count:.1f}", f"{size / pushed:.1f}")
        for table, (count, size) in sorted(held.items())
        if count
    ]
    total = sum(size for _, size in held.values())
    rows.append(("all", "", "", "", f"{total / pushed:.1f}"))
    print_table((title, "rows", "per pushed", "bytes per row", "bytes per pushed"), rows)


if __name__ == "__main__":
    main()
