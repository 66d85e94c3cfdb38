"""Ten minutes of mixed traffic on the production processes, at 80 % of their maximum.

Two web processes, two workers and beat run on PostgreSQL, Redis and a ClickHouse endpoint, with two months of the
demo's traffic. First everything is sent as fast as it is answered: batches, reads, geo counts and live figures at once.
Then, for the length of the soak, each kind is sent at 80 % of its rate. Afterwards every table and ledger must have
grown by exactly the amounts acknowledged. Server, stores and load share the machine.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from pathlib import Path
from statistics import linear_regression
from time import perf_counter
from typing import Any, Final

from bench.support import TIMEOUT_SECONDS, median, percentile, print_table
from tests.serving import manage
from tests.stack import books, topology
from tests.stack.load import Batch, Customer, make_batch
from tests.stack.topology import Stack

SOAK_SECONDS: Final = 600
WARM_UP_SECONDS: Final = 10
MAX_SECONDS: Final = 30
SHARE: Final = 0.8
CONNECTIONS: Final = {"ingest": 8, "reads": 2, "geo counts": 1, "realtime": 1}
ROWS: Final = 500
BODIES: Final = 60
DOMAINS: Final = 2000
MEMORY_SECONDS: Final = 5.0
SETTLE_SECONDS: Final = 180
# Rows must not be so old that they expire during the run.
COUNTED: Final = timedelta(hours=6)
REPORTS: Final = ("traffic", "requests", "concurrency", "domains", "errors", "websites")


@dataclass
class Result:
    """The results of the calls of one kind."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


class Traffic:
    """Clients with persistent connections, spread evenly over the web processes, and a count of what was
    acknowledged.
    """

    def __init__(self, stack: Stack) -> None:
        self._ports = [web.port for web in stack.web]
        self._keys = stack.web[0].keys
        dice = random.Random(0)
        domains = [f"site-{number}.example" for number in range(DOMAINS)]
        self._bodies = [make_batch(dice, domains, ROWS) for _ in range(BODIES)]
        self.account = Customer()
        self._lock = threading.Lock()

    def run(self, seconds: float, rates: dict[str, float] | None = None) -> dict[str, Result]:
        """Runs all kinds at once: each at its rate per second, or as fast as it is answered."""
        until = perf_counter() + seconds
        results = {kind: Result() for kind in CONNECTIONS}
        with ThreadPoolExecutor(sum(CONNECTIONS.values())) as threads:
            running = [
                threads.submit(
                    self._call_until, until, kind, number, connections / rates[kind] if rates else 0.0, result
                )
                for (kind, connections), result in zip(CONNECTIONS.items(), results.values(), strict=True)
                for number in range(connections)
            ]
        for one in running:
            one.result()
        return results

    def _call_until(self, until: float, kind: str, number: int, pause: float, result: Result) -> None:
        dice = random.Random(number)
        connection = HTTPConnection("127.0.0.1", self._ports[number % len(self._ports)], timeout=TIMEOUT_SECONDS)
        bodies, paths = cycle(self._bodies[number :: CONNECTIONS["ingest"]]), cycle(self._paths(kind))
        due = perf_counter() + dice.random() * pause
        while perf_counter() < until:
            if pause:
                time.sleep(max(0.0, due - perf_counter()))
                due += pause
            if kind == "ingest":
                self._push(connection, next(bodies), result)
            else:
                headers = {"x-api-key": self._keys["READ_KEY"], "X-Forwarded-For": f"203.0.113.{dice.randrange(256)}"}
                self._ask(connection, "GET", next(paths), None, headers, result)
        connection.close()

    def _paths(self, kind: str) -> Sequence[str]:
        today = datetime.now(UTC).date()
        span = f"from={today - timedelta(days=29)}&to={today}"
        return {
            "ingest": ["/analytics/ingest"],
            "reads": [f"/analytics/{report}?{span}" for report in REPORTS],
            "geo counts": ["/geo/counts"],
            "realtime": ["/api/v1/usage/realtime"],
        }[kind]

    def _push(self, connection: HTTPConnection, batch: Batch, result: Result) -> None:
        headers = {"x-api-key": self._keys["INGEST_KEY"], "Content-Type": "application/json"}
        if self._ask(connection, "POST", batch.path, batch.body, headers, result):
            with self._lock:
                self.account.add(batch.account)

    def _ask(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        result: Result,
    ) -> bool:
        started = perf_counter()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            outcome = str(answer.status)
        except (OSError, HTTPException) as error:
            connection.close()
            outcome = type(error).__name__
        result.seconds.append(perf_counter() - started)
        if outcome not in ("200", "204"):
            result.errors[outcome] += 1
            return False
        return True


class Memory:
    """Resident megabytes of every process, sampled every few seconds while the block runs."""

    def __init__(self, stack: Stack) -> None:
        self._pids = {
            **{f"web {number}": [web.process.pid] for number, web in enumerate(stack.web)},
            **{f"worker {number}": [worker.process.pid] for number, worker in enumerate(stack.workers)},
            "beat": [stack.beat.process.pid],
            "Redis": [stack.redis.process.pid],
            "ClickHouse endpoint": [stack.endpoint.process.pid],
        }
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.hours: list[float] = []
        self.megabytes: dict[str, list[float]] = {name: [] for name in self._pids}

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(MEMORY_SECONDS):
            self.hours.append(perf_counter() / 3600)
            for name, pids in self._pids.items():
                self.megabytes[name].append(sum(map(resident_megabytes, pids)))

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Name, first and last value, and the slopes of the whole time and of its second half."""
        half = len(self.hours) // 2
        for name, found in self.megabytes.items():
            slopes = (linear_regression(self.hours[start:], found[start:]).slope for start in (0, half))
            yield (name, f"{found[0]:.0f}", f"{found[-1]:.0f}", *(f"{slope:+.0f}" for slope in slopes))


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=SOAK_SECONDS, help="of the soak (default 600)")
    options = parser.parse_args()
    with topology.running() as stack:
        made = manage(stack.directory / "setup", "seed_demo", **stack.settings)
        if made.returncode:
            raise SystemExit(made.stderr)
        since = datetime.now(UTC) - COUNTED
        before = settled(stack, since)
        traffic = Traffic(stack)
        traffic.run(WARM_UP_SECONDS)
        most = {kind: len(result.seconds) / MAX_SECONDS for kind, result in traffic.run(MAX_SECONDS).items()}
        asked = {kind: SHARE * rate for kind, rate in most.items()}
        with Memory(stack) as memory:
            results = traffic.run(options.seconds, asked)
        report(most, results, options.seconds, memory)
        check(before, settled(stack, since), traffic.account)
    if any(result.errors for result in results.values()):
        raise SystemExit("WRONG: something was refused or not answered.")


def settled(stack: Stack, since: datetime) -> dict[str, Any]:
    """What the stores hold for the time since then, once everything accepted is counted and posted."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while books.unfinished(stack.settings["DATABASE_URL"], datetime.now(UTC)):
        if time.monotonic() > deadline:
            raise SystemExit("WRONG: accepted rows are not counted and posted.")
        time.sleep(1)
    return books.held(stack.directory / "setup", since, **stack.settings)


def report(most: dict[str, float], results: dict[str, Result], seconds: float, memory: Memory) -> None:
    print(f"{seconds} s of everything at once; a push is {ROWS} rows; milliseconds\n")
    print_table(
        ("calls a second", "most", "reached", "p50", "p99", "slowest", "calls", "errors"),
        [
            (
                kind,
                f"{most[kind]:.1f}",
                f"{len(result.seconds) / seconds:.1f}",
                *(f"{of(result.seconds) * 1000:.0f}" for of in (median, _p99, max)),
                f"{len(result.seconds):,}",
                ", ".join(f"{number} {name}" for name, number in result.errors.items()) or "0",
            )
            for kind, result in results.items()
        ],
    )
    print_table(("resident MB", "first", "last", "an hour", "an hour, second half"), list(memory.rows()))


def _p99(values: Sequence[float]) -> float:
    return percentile(values, 99)


def check(before: dict[str, Any], after: dict[str, Any], account: Customer) -> None:
    """Every table and ledger must have grown by exactly the amounts acknowledged."""
    wanted = books.right(account)
    for part, right in wanted.items():
        grown = {
            name: [new - old for new, old in zip(after[part][name], _of(before[part], name), strict=True)]
            for name in right
        }
        wrong = {name: (grown[name], right[name]) for name in right if grown[name] != right[name]}
        if wrong:
            raise SystemExit(f"WRONG: {part} grew, and should have grown, by {wrong}.")
    print(f"Every table and ledger grew by exactly the {account.rows.total():,} rows that were acknowledged.")


def _of(held: dict[str, list[int]], name: str) -> list[int]:
    return [int(value or 0) for value in held.get(name, (0, 0))]


if __name__ == "__main__":
    main()
