"""Many gateways that push ten rows at a time: pushes per second, processor time of each, and refusals.

With ``--log`` the rows are single requests, pushed to ``/log/ingest``. With ``--beside`` another checkout is served
alternately with this one, so that both are measured in one run. Afterwards each store must hold exactly the rows that
were answered with 204. The lag is the age of the oldest batch that the engine does not have yet, read from the journal
twenty times a second.
"""

from __future__ import annotations

import argparse
import select
import socket
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, cycle, islice
from pathlib import Path
from typing import Final

from bench.bodies import PushBody, as_log_body, make_body
from bench.support import ROOT, Embedded, Process, percentile, print_table, serving

ROWS: Final = 10
BODIES: Final = 200
CUSTOMERS: Final = 40
ORDERS: Final = 100
CONNECTIONS: Final = (1, 16, 64)
DRAIN_SECONDS: Final = 3.0
LAG_SECONDS: Final = 0.05


@dataclass
class PushTotals:
    """The results of the pushes of one measurement."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    taken: list[PushBody] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


class Gateways:
    """Keep-alive connections that push one body after another, driven by one thread, because it shares two cores.

    They are spread evenly over the processes. Without a journal no lag is measured.
    """

    def __init__(
        self, processes: Sequence[Process], journal: Path | None, path: str, bodies: Sequence[PushBody], headers: str
    ) -> None:
        self._processes, self._journal, self._path = processes, journal, path
        self._bodies, self._headers = bodies, headers
        self._numbers = count()

    def push(self, connections: int, seconds: float) -> PushTotals:
        outcome = PushTotals()
        with lags_into(outcome.lags, self._journal) if self._journal else nullcontext():
            self._push(connections, seconds, outcome)
        return outcome

    def _push(self, connections: int, seconds: float, outcome: PushTotals) -> None:
        poll = select.epoll()
        servers = islice(cycle(self._processes), connections)
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for server in servers]
        by_number = {each.fileno(): each for each in sockets}
        under_way: dict[int, tuple[float, PushBody]] = {}
        before, started = self._cpu_seconds(), time.perf_counter()
        for each in sockets:
            poll.register(each, select.EPOLLIN)
            under_way[each.fileno()] = self._send(each)
        while under_way:
            for number, _ in poll.poll():
                self._receive(by_number[number], under_way.pop(number), outcome)
                if time.perf_counter() - started < seconds:
                    under_way[number] = self._send(by_number[number])
        outcome.seconds = time.perf_counter() - started
        outcome.cpu_seconds = self._cpu_seconds() - before
        for each in sockets:
            each.close()
        poll.close()

    def _cpu_seconds(self) -> float:
        return sum(process.cpu_seconds() for process in self._processes)

    def _send(self, connection: socket.socket) -> tuple[float, PushBody]:
        number = next(self._numbers)
        body = self._bodies[number % len(self._bodies)]
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._headers}"
            f"Idempotency-Key: {id(self)}-{number}\r\nContent-Length: {len(body.content)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body.content)
        return time.perf_counter(), body

    def _receive(self, connection: socket.socket, sent: tuple[float, PushBody], outcome: PushTotals) -> None:
        answer = connection.recv(65536)
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536)
        status = int(answer[9:12])
        if status != 204:  # the body may come later: nothing else is sent on this connection meanwhile
            head, _, rest = answer.partition(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            while len(rest) < length:
                rest += connection.recv(65536)
        outcome.statuses[status] += 1
        outcome.milliseconds.append((time.perf_counter() - sent[0]) * 1000)
        if status == 204:
            outcome.taken.append(sent[1])


@contextmanager
def lags_into(lags: list[float], journal: Path) -> Iterator[None]:
    """While the block runs, collects the milliseconds since the oldest batch that the engine lacks was accepted."""
    ended = threading.Event()

    def sample() -> None:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as store:
            while not ended.wait(LAG_SECONDS):
                [(oldest,)] = store.execute(
                    "SELECT min(created_at) FROM analytics_ingestbatch WHERE settled_at IS NULL"
                )
                taken = datetime.fromisoformat(oldest).replace(tzinfo=UTC) if oldest else datetime.now(UTC)
                lags.append((datetime.now(UTC) - taken).total_seconds() * 1000)

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        yield
    finally:
        ended.set()
        sampling.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--beside", type=Path, help="another checkout of the product, measured in turn")
    parser.add_argument("--log", action="store_true", help="push single requests to /log/ingest")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (default 10)")
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    options = parser.parse_args()
    trees = {"this": ROOT} | ({"beside": options.beside.resolve()} if options.beside else {})
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as directory:
        run(Path(directory), trees, options.connections, options.rounds, options.seconds, options.log)


def run(
    directory: Path, trees: dict[str, Path], connections: Sequence[int], rounds: int, seconds: float, is_log: bool
) -> None:
    taken: dict[str, list[PushBody]] = {name: [] for name in trees}
    rows = []
    with ExitStack() as stack:
        ways = {
            name: stack.enter_context(gateways(directory / name, tree, is_log=is_log))[1]
            for name, tree in trees.items()
        }
        for number in range(rounds):
            for at_once in connections:
                for name in trees:
                    for way, pusher in ways[name].items():
                        outcome = pusher.push(at_once, seconds)
                        taken[name] += outcome.taken
                        rows.append((f"{name}, {way}, {at_once} at once, round {number + 1}", *_figures(outcome)))
                        print(*rows[-1], flush=True)
    print_table(
        ("pushes of ten rows", "per second", "CPU ms each", "p50 ms", "p99 ms", "lag ms", "most", "refused"), rows
    )
    for name in trees:
        check(directory / name, name, taken[name])


@contextmanager
def gateways(data_dir: Path, tree: Path, *, is_log: bool) -> Iterator[tuple[Process, dict[str, Gateways]]]:
    """A served product, gateways that wait until their rows are readable, and gateways that do not."""
    with Embedded(data_dir) as seeding:
        owners = seeding.run("customers.make_orders", CUSTOMERS, ORDERS)
        key = seeding.run("customers.make_ingest_key")
    bodies = [make_body(ROWS, owners, datetime.now(UTC), seed) for seed in range(BODIES)]
    if is_log:
        bodies = [PushBody(as_log_body(body.content), body.rows, body.rows) for body in bodies]
    path = "/log/ingest" if is_log else "/analytics/ingest"
    headers = f"x-api-key: {key}\r\n"
    journal = data_dir / "fonproxy.sqlite3"
    with serving(data_dir, tree) as process:
        yield (
            process,
            {
                "readable": Gateways([process], journal, path, bodies, headers),
                "durable": Gateways([process], journal, path, bodies, f"{headers}Prefer: respond-async\r\n"),
            },
        )
        time.sleep(DRAIN_SECONDS)


def _figures(outcome: PushTotals) -> Iterator[str]:
    done = outcome.statuses[204]
    yield f"{done / outcome.seconds:,.0f}"
    yield f"{outcome.cpu_seconds * 1000 / max(1, done):.1f}"
    yield f"{percentile(outcome.milliseconds, 50):.0f}"
    yield f"{percentile(outcome.milliseconds, 99):.0f}"
    yield f"{percentile(outcome.lags, 50):.0f}"
    yield f"{max(outcome.lags):.0f}"
    yield str(sum(outcome.statuses.values()) - done)


def check(data_dir: Path, name: str, taken: Sequence[PushBody]) -> None:
    """Every target must hold exactly the rows that were answered with 204."""
    wanted = (sum(body.rows for body in taken), sum(body.requests for body in taken))
    with Embedded(data_dir) as engine:
        held = engine.run("direct.count")
    if set(held.values()) != {wanted}:
        raise SystemExit(f"WRONG: {name} answered 204 for {wanted} rows and requests, the tables hold {held}.")
    print(f"{name}: every table holds exactly the {wanted[0]:,} rows that were answered with 204.")


if __name__ == "__main__":
    main()
