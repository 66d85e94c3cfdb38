"""Time the six reads over HTTP against their bare queries, and measure how the others' data affect a customer.

A data directory holds two months of a thousand customers. It is copied, so that a served product and a process that
runs the bare queries can be timed alternately, call by call, on the same parts. A second one, with a tenth of the other
customers' rows, shows how much those rows slow a customer down. All times are in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Final
from urllib.parse import urlencode

from bench.support import Embedded, RatioTarget, connected, median, percentile, print_table, served
from fonproxy.timerange import Range

CUSTOMERS: Final = 1_000
DAYS: Final = 62
REPORTS: Final = ("traffic", "requests", "concurrency", "domains", "errors", "websites")
MEASURED: Final = {"small": CUSTOMERS, "median": CUSTOMERS // 2, "largest": 1}
KEYS: Final = 30  # of each measured customer, used in turn: each is limited to 600 calls a minute
WARM_UP: Final = 5
ABOVE_BARE: Final = {"keys": RatioTarget(most=2.5), "tokens": RatioTarget(most=2)}
GROWTH: Final = RatioTarget(most=1.1)


@dataclass(frozen=True, slots=True)
class Read:
    """One of the reads, of one customer, over a range of whole days."""

    report: str
    user_id: int
    start: datetime
    days: int

    @property
    def range(self) -> Range:
        return Range(self.start, self.start + timedelta(days=self.days))

    @property
    def path(self) -> str:
        last = self.start + timedelta(days=self.days - 1)
        return f"/analytics/{self.report}?{urlencode({'from': self.start.date(), 'to': last.date()})}"


class Dataset:
    """A filled data directory that is served, and a copy of it that is queried directly."""

    def __init__(self, directory: Path, rows: int, start: datetime, thinned_but: int | None = None) -> None:
        self._path = directory / "served"
        self._copy = directory / "copy"
        with Embedded(self._path) as engine:
            engine.run("customers.make_customers", CUSTOMERS)
            keys = {user: engine.run("customers.make_read_keys", user, KEYS) for user in MEASURED.values()}
            self.held: dict[str, int] = engine.run("population.fill", CUSTOMERS, rows, start, thinned_but)
        shutil.copytree(self._path, self._copy, symlinks=True)
        self._credentials = {user: [{"x-api-key": key} for key in own] for user, own in keys.items()}

    def sign_in(self) -> None:
        """From now on the reads send tokens instead of keys, for a quarter of an hour. Call it before ``open``."""
        with Embedded(self._path) as engine:
            tokens = {user: engine.run("customers.make_token", user) for user in MEASURED.values()}
        self._credentials = {user: [{"Authorization": f"Bearer {token}"}] for user, token in tokens.items()}

    def open(self, stack: ExitStack) -> None:
        self._bare = stack.enter_context(Embedded(self._copy))
        self._connection: HTTPConnection = stack.enter_context(
            connected(stack.enter_context(served(self._path, FONPROXY_THROTTLE_READ="1000000/min")))
        )

    def ask(self, read: Read) -> tuple[float, int]:
        """Milliseconds and rows of the bare query."""
        found: tuple[float, int] = self._bare.run("bare.ask", read.report, read.user_id, read.range)
        return found

    def get(self, read: Read, credential: dict[str, str]) -> tuple[float, int]:
        """Milliseconds and rows of the read over HTTP, up to the last byte of the response."""
        started = perf_counter()
        self._connection.request("GET", read.path, headers=credential)
        answer = self._connection.getresponse()
        body = answer.read()
        seconds = perf_counter() - started
        if answer.status != 200:
            raise RuntimeError(f"{read.path} was answered with {answer.status}: {body[:200]!r}")
        return seconds * 1000, len(json.loads(body)["data"])

    def credentials(self, read: Read) -> Iterator[dict[str, str]]:
        return cycle(self._credentials[read.user_id])


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one read, bare and over HTTP."""

    bare: list[float]
    http: list[float]


def measure(datasets: Sequence[Dataset], read: Read, repeats: int) -> list[Times]:
    """Times the read on each data set, alternately bare and over HTTP; all must find as many rows as the first."""
    times = [Times([], []) for _ in datasets]
    credentials = [dataset.credentials(read) for dataset in datasets]
    for number in range(WARM_UP + repeats):
        for dataset, spent, credential in zip(datasets, times, credentials, strict=True):
            (bare, expected), (http, found) = dataset.ask(read), dataset.get(read, next(credential))
            if found != expected:
                raise RuntimeError(f"{read.path}: {found} rows over HTTP, {expected} from the bare query.")
            if number >= WARM_UP:
                spent.bare.append(bare)
                spent.http.append(http)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--buckets", type=int, default=20_000_000, help="rows in all (default 20 million)")
    parser.add_argument("--repeats", type=int, default=100, help="calls per number printed (default 100)")
    parser.add_argument("--tokens", action="store_true", help="sign in instead of sending API keys")
    options = parser.parse_args()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as directory, ExitStack() as stack:
        start = today - timedelta(days=DAYS)
        full = Dataset(Path(directory) / "full", options.buckets, start)
        tenth = Dataset(Path(directory) / "tenth", options.buckets, start, thinned_but=MEASURED["median"])
        for name, dataset in (("full", full), ("a tenth of the others' rows", tenth)):
            held = ", ".join(f"{rows:,} rows in {table}" for table, rows in dataset.held.items())
            print(f"{name}: {held}")
            if options.tokens:
                dataset.sign_in()
            dataset.open(stack)
        print()
        report_reads(full, start, options.repeats, ABOVE_BARE["tokens" if options.tokens else "keys"])
        report_growth(tenth, full, start, options.repeats)


def report_reads(dataset: Dataset, start: datetime, repeats: int, target: RatioTarget) -> None:
    """Every read of a small, a median and the largest customer, over all days and over one."""
    rows = []
    above = []
    for days in (DAYS, 1):
        for name, user_id in MEASURED.items():
            for report in REPORTS:
                read = Read(report, user_id, start + timedelta(days=(DAYS - days) // 2), days)
                [times] = measure([dataset], read, repeats)
                above.append(median(times.http) - median(times.bare))
                numbers = (of(spent) for spent in (times.bare, times.http) for of in (median, _p99))
                rows.append((f"{report}, {name}, {days} d", *(f"{n:.1f}" for n in (*numbers, above[-1]))))
    print_table(("milliseconds", "bare p50", "p99", "HTTP p50", "p99", "p50 above bare"), rows)
    most = max(above)
    print(f"p50 above the bare query: at most {most:.1f} ms, median {median(above):.1f} ({target.verdict(most)})\n")


def report_growth(small: Dataset, large: Dataset, start: datetime, repeats: int) -> None:
    """The median customer's reads over all days, with few and with ten times as many rows of others."""
    rows = []
    growths = []
    for report in REPORTS:
        before, after = measure([small, large], Read(report, MEASURED["median"], start, DAYS), repeats)
        bare = median(after.bare) / median(before.bare)
        growths.append(median(after.http) / median(before.http))
        numbers = (median(before.bare), median(after.bare), bare, median(before.http), median(after.http), growths[-1])
        rows.append((report, *(f"{n:.2f}" for n in numbers)))
    print_table(("p50, milliseconds", "bare", "bare x10", "growth", "HTTP", "HTTP x10", "growth"), rows)
    most = max(growths)
    print(f"growth of p50 with ten times the others' rows: at most {most:.2f} ({GROWTH.verdict(most)})")


def _p99(values: Sequence[float]) -> float:
    return percentile(values, 99)


if __name__ == "__main__":
    main()
