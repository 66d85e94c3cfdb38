"""The log: single requests per second beside aggregated rows, and searches beside their bare queries.

Both intakes receive bodies of 10,000 rows over HTTP from the same served product, alternately. The searches are those
of the customer with the most requests, over a week of them, alternately over HTTP and bare, on copies of the same
parts.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.bodies import as_log_body, make_body
from bench.support import (
    Embedded,
    RatioTarget,
    connected,
    median,
    milliseconds_of_get,
    percentile,
    print_beside_bare,
    print_table,
    served,
)

REQUESTS: Final = 20_000_000
CUSTOMERS: Final = 100
KEYS: Final = 30
ROWS: Final = 10_000
ROUNDS: Final = 5
BODIES: Final = 10
REPEATS: Final = 60
OF_TRAFFIC: Final = RatioTarget(least=0.4)
SEARCHES: Final = {
    "newest": "",
    "second page, oldest first": "page=2&sort_by=log_request_datetime_asc",
    "one host": "log_hostname=www.site-7.example.com",
    "like a host": "like_log_hostname=%25site-1%25",
    "errors, largest first": "log_error=timeout&sort_by=log_total_bytes_desc",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as directory:
        report_intake(Path(directory) / "intake")
        report_searches(Path(directory) / "searches", options.requests)


def report_intake(directory: Path) -> None:
    with Embedded(directory) as seeding:
        owners = seeding.run("customers.make_orders", 40, 100)
        key = seeding.run("customers.make_ingest_key")
    traffic = [make_body(ROWS, owners, datetime.now(UTC), seed).content for seed in range(3)]
    log = [as_log_body(body) for body in traffic]
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    rates: dict[str, list[float]] = {"/analytics/ingest": [], "/log/ingest": []}
    with served(directory) as port, connected(port) as connection:
        for number in range(ROUNDS + 1):
            for route, bodies in (("/analytics/ingest", traffic), ("/log/ingest", log)):
                time.sleep(1)  # let the merges of the previous one end
                started = perf_counter()
                for n in range(BODIES):
                    connection.request("POST", route, bodies[n % len(bodies)], headers)
                    answer = connection.getresponse()
                    if (answer.status, answer.read()) != (204, b""):
                        raise RuntimeError(f"{route} answered {answer.status}.")
                if number:
                    rates[route].append(BODIES * ROWS / (perf_counter() - started))
    print_table(("", "rows/s"), [(route, f"{median(found):,.0f}") for route, found in rates.items()])
    ratio = median(rates["/log/ingest"]) / median(rates["/analytics/ingest"])
    print(f"log beside traffic: {ratio:.2f} ({OF_TRAFFIC.verdict(ratio)})\n")


def report_searches(directory: Path, requests: int) -> None:
    served_dir, copy = directory / "served", directory / "copy"
    with Embedded(served_dir) as engine:
        engine.run("customers.make_customers", CUSTOMERS)
        keys = engine.run("customers.make_read_keys", 1, KEYS)
        held = engine.run("log_requests.fill", CUSTOMERS, requests)
        ids = engine.run("log_requests.some_ids", 1, REPEATS)
    shutil.copytree(served_dir, copy, symlinks=True)
    print(f"{held['all']:,} requests, {held['largest']:,} of the querying customer\n")
    turn = cycle({"x-api-key": key} for key in keys)
    with ExitStack() as stack:
        bare = stack.enter_context(Embedded(copy))
        connection = stack.enter_context(connected(stack.enter_context(served(served_dir))))
        print_beside_bare(
            SEARCHES,
            lambda query: float(bare.run("log_requests.ask", 1, query) * 1000),
            lambda query: milliseconds_of_get(connection, f"/log/search?{query}", next(turn)),
            REPEATS // 4,
        )
        one = [bare.run("log_requests.select_1") * 1000 for _ in ids]
        found = [milliseconds_of_get(connection, f"/log/retrieve/{log_id}", next(turn)) for log_id in ids]
    p99 = percentile(found, 99), percentile(one, 99)
    print(f"retrieve by id: p99 {p99[0]:.1f} ms over HTTP, SELECT 1 {p99[1]:.1f} ms bare")


if __name__ == "__main__":
    main()
