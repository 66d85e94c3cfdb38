"""Rows per second through ``POST /analytics/ingest``, beside the engine alone and beside Django's usual way.

Everything runs in turn, round after round, each in processes of its own: HTTP bodies of 10,000 rows over 1 and over 4
keep-alive connections, answered when their rows are readable, or when they are durable, as the agent asks; the same
rows as ready columns straight into the engine; the same rows through a serializer and ``bulk_create`` into PostgreSQL.
Every time lasts until all rows are readable. Afterwards each store must hold exactly what was sent to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from bench import orm
from bench.bodies import PushBody, make_body
from bench.support import Embedded, RatioTarget, connected, median, print_table, served
from tests import postgres

ROWS: Final = 10_000
BODIES: Final = 6
CUSTOMERS: Final = 40
ORDERS: Final = 100
PAUSE_SECONDS: Final = 1.0
ASYNC: Final = "respond-async"
ENGINE: Final = "engine alone, 10,000 rows an insert"
LARGE: Final = "engine alone, 100,000 rows an insert"
HTTP: Final = {1: "HTTP, 1 connection", 4: "HTTP, 4 connections"}
DURABLE: Final = {connections: f"{name}, durable" for connections, name in HTTP.items()}
ORM: Final = "serializer and bulk_create, PostgreSQL"
OF_ENGINE: Final = {1: RatioTarget(least=0.6), 4: RatioTarget(least=0.8)}
OF_ORM: Final = RatioTarget(least=8)


class Http:
    """Sends bodies to a served product and records what it sent."""

    def __init__(self, port: int, key: str, bodies: Sequence[PushBody]) -> None:
        self._port, self._bodies = port, bodies
        self._headers = {"x-api-key": key, "Content-Type": "application/json"}
        self.sent: list[PushBody] = []

    def send(self, connections: int, batches: int, *, durable: bool = False) -> float:
        """Rows per second of these bodies, spread evenly over the connections.

        With ``durable``, only the last response of each connection waits until its rows, and with them all before, are
        readable.
        """
        bodies = list(islice(cycle(self._bodies), batches))
        shares = [bodies[first::connections] for first in range(connections)]
        started = time.perf_counter()
        with ThreadPoolExecutor(connections) as threads:
            list(threads.map(partial(self._send, durable=durable), shares))
        seconds = time.perf_counter() - started
        self.sent += bodies
        return sum(body.rows for body in bodies) / seconds

    def _send(self, bodies: Sequence[PushBody], *, durable: bool) -> None:
        with connected(self._port) as connection:
            for number, body in enumerate(bodies, start=1):
                prefer = {"Prefer": ASYNC} if durable and number < len(bodies) else {}
                connection.request("POST", "/analytics/ingest", body.content, {**self._headers, **prefer})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 204:
                    raise RuntimeError(f"A body was refused with {answer.status}: {text[:200]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=20, help="bodies per measurement (default 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as directory:
        run(Path(directory), options.rounds, options.batches)


def run(directory: Path, rounds: int, batches: int) -> None:
    with Embedded(directory / "served") as seeding:
        owners = seeding.run("customers.make_orders", CUSTOMERS, ORDERS)
        key = seeding.run("customers.make_ingest_key")
    bodies = [make_body(ROWS, owners, datetime.now(UTC), seed) for seed in range(BODIES)]
    print(f"{BODIES} bodies of {ROWS:,} rows, {len(bodies[0].content) / 1e6:.1f} MB each; {rounds} rounds, medians\n")
    with ExitStack() as stack:
        http = Http(stack.enter_context(served(directory / "served")), key, bodies)
        ways: dict[str, Callable[[], float]] = {
            **{name: partial(http.send, connections, batches) for connections, name in HTTP.items()},
            **{name: partial(http.send, connections, batches, durable=True) for connections, name in DURABLE.items()},
            **stack.enter_context(_engine(directory / "direct", bodies, batches)),
            **stack.enter_context(_orm(bodies, batches)),
        }
        rates = _measure(ways, rounds)
    _report(rates)
    _check(directory / "served", http.sent)


@contextmanager
def _engine(data_dir: Path, bodies: Sequence[PushBody], batches: int) -> Iterator[dict[str, Callable[[], float]]]:
    with Embedded(data_dir) as engine:
        engine.run("customers.make_orders", CUSTOMERS, ORDERS)
        engine.run("direct.prepare", bodies)
        yield {
            ENGINE: lambda: engine.run("direct.insert", batches, 1),
            LARGE: lambda: engine.run("direct.insert", max(1, batches // 10), 10),
        }


@contextmanager
def _orm(bodies: Sequence[PushBody], batches: int) -> Iterator[dict[str, Callable[[], float]]]:
    programs = postgres.newest_programs()
    if programs is None:
        print("No PostgreSQL is installed here: the comparison with it is left out.\n")
        yield {}
        return
    with postgres.running(programs) as port, ProcessPoolExecutor(1, get_context("spawn")) as process:
        process.submit(orm.connect, port).result()
        yield {ORM: lambda: process.submit(orm.insert, bodies, max(1, batches // 8)).result()}


def _measure(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Rows per second of every way in every round; the first round is a warm-up and does not count."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, measure in ways.items():
            time.sleep(PAUSE_SECONDS)  # let the merges of the previous one end
            rate = measure()
            if number:
                rates[name].append(rate)
    return rates


def _report(rates: dict[str, list[float]]) -> None:
    print_table(
        ("rows per second", "median", "least", "most"),
        [(name, *(f"{of(found):,.0f}" for of in (median, min, max))) for name, found in rates.items()],
    )
    for connections, way in (*HTTP.items(), *DURABLE.items()):
        for other, target in ((ENGINE, OF_ENGINE[connections]), (ORM, OF_ORM)):
            if other in rates:
                ratio = median([a / b for a, b in zip(rates[way], rates[other], strict=True)])
                print(f"{way} / {other}: {ratio:.2f} ({target.verdict(ratio)})")


def _check(data_dir: Path, sent: Sequence[PushBody]) -> None:
    """Every target of the served product must hold exactly the rows that were answered with 204."""
    wanted = (sum(body.rows for body in sent), sum(body.requests for body in sent))
    with Embedded(data_dir) as engine:
        held = engine.run("direct.count")
    if set(held.values()) != {wanted}:
        raise SystemExit(f"WRONG: {wanted} rows and requests were sent, the tables hold {held}.")
    print(f"\nEvery table holds exactly the {wanted[0]:,} rows that were sent ({wanted[1]:,} requests).")


if __name__ == "__main__":
    main()
