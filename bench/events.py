"""Events: how many a second, and time series beside their bare query; then two minutes at 80 % of the most.

Batches of 91 events (the Go sender's size) over 8 keep-alive connections, and of 10,000 over one, all over HTTP. The
series are those of an application with 20 million events, over HTTP and bare, in turn, on copies of the same parts;
bare also in processor time, with and without the sums that are kept by the minute.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any, Final

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

EVENTS: Final = 20_000_000
SENDER: Final = 91
LARGE: Final = 10_000
CONNECTIONS: Final = 8
SECONDS: Final = 10
SOAK_SECONDS: Final = 120
REPEATS: Final = 15
CPU_REPEATS: Final = 5
PARTS: Final = RatioTarget(most=300)
SERIES: Final = {
    "count by hour, a week": "granularity=hour",
    "count by hour and consumer": "granularity=hour&group=consumer_id",
    "p95 by hour and function": "granularity=hour&group=function&aggregation=percentile_95",
    "mean by function, one point": "group=function&aggregation=mean",
    "count by url, a million of them": "group=url",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--soak", type=int, default=SOAK_SECONDS, help="seconds at 80 %% of the maximum (default 120)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as directory:
        report_intake(Path(directory) / "intake", options.soak)
        report_series(Path(directory) / "series", options.events)


class Sender:
    """Sends batches of one size, each connection in a thread of its own, and records how long each took."""

    def __init__(self, port: int, headers: dict[str, str], size: int) -> None:
        self._port, self._headers, self._size = port, headers, size
        self.times: list[float] = []
        self.refused = 0

    def run(self, seconds: float, connections: int, batches_per_second: float | None = None) -> float:
        """Events per second that were accepted; ``batches_per_second`` caps the rate."""
        until = perf_counter() + seconds
        pause = connections / batches_per_second if batches_per_second else 0.0
        started = perf_counter()
        before = len(self.times)
        with ThreadPoolExecutor(connections) as threads:
            list(threads.map(lambda _: self._send_until(until, pause), range(connections)))
        return (len(self.times) - before) * self._size / (perf_counter() - started)

    def _send_until(self, until: float, pause: float) -> None:
        dice = random.Random()
        next_at = perf_counter() + dice.random() * pause
        with connected(self._port) as connection:
            while perf_counter() < until:
                if pause:
                    time.sleep(max(0.0, next_at - perf_counter()))
                    next_at += pause
                body = json.dumps([_event(dice) for _ in range(self._size)])
                started = perf_counter()
                connection.request("POST", "/1/event/", body, self._headers)
                answer = connection.getresponse()
                answer.read()
                self.refused += answer.status != 200
                self.times.append(perf_counter() - started)


def _event(dice: random.Random) -> dict[str, Any]:
    return {
        "timestamp": int(time.time()),
        "consumer_id": f"c-{dice.randrange(50)}",
        "method": "GET",
        "url": f"/v1/items/{dice.randrange(5000)}?page={dice.randrange(9)}",
        "function": f"f{dice.randrange(20)}",
        "response_us": dice.randrange(10**6),
        "status_code": 200,
        "data": None,
    }


def report_intake(directory: Path, soak: int) -> None:
    with Embedded(directory) as engine:
        headers: dict[str, str] = engine.run("event_rows.make_application")["write"]
    headers["Content-Type"] = "application/json"
    with served(directory) as port:
        small, large = Sender(port, headers, SENDER), Sender(port, headers, LARGE)
        small.run(2, CONNECTIONS)
        most = small.run(SECONDS, CONNECTIONS)
        bulk = large.run(SECONDS, 1)
        print_table(
            ("events a second", ""),
            [
                (f"batches of {SENDER}, {CONNECTIONS} connections", f"{most:,.0f}"),
                ("batches of 10,000", f"{bulk:,.0f}"),
            ],
        )
        steady = Sender(port, headers, SENDER)
        kept_up = steady.run(soak, CONNECTIONS, 0.8 * most / SENDER)
    sent = (len(small.times) + len(steady.times)) * SENDER + len(large.times) * LARGE
    with Embedded(directory) as engine:
        held, parts = engine.run("event_rows.held")
    refused = small.refused + large.refused + steady.refused
    print(f"{soak} s at 80 %: {kept_up:,.0f} events a second, p99 {percentile(steady.times, 99) * 1000:.0f} ms")
    print(f"refused {refused}, sent and held {sent:,} and {held:,}, active parts {parts} ({PARTS.verdict(parts)})\n")
    if refused or sent != held:
        raise SystemExit("WRONG: something was refused, lost or doubled.")


def report_series(directory: Path, events: int) -> None:
    served_dir, copy = directory / "served", directory / "copy"
    with Embedded(served_dir) as engine:
        headers = engine.run("event_rows.make_application")["read"]
        start, end = engine.run("event_rows.fill", events)
    shutil.copytree(served_dir, copy, symlinks=True)
    print(f"{events:,} events\n")
    with ExitStack() as stack:
        bare = stack.enter_context(Embedded(copy))
        report_projections(bare, start, end)
        connection = stack.enter_context(connected(stack.enter_context(served(served_dir))))
        print_beside_bare(
            SERIES,
            lambda query: float(bare.run("event_rows.ask", start, end, query) * 1000),
            lambda query: milliseconds_of_get(connection, f"/1/timeseries/{start}/{end}/?{query}", headers),
            REPEATS,
        )


def report_projections(engine: Embedded, start: int, end: int) -> None:
    """Processor time of each series, alternately event by event and with the sums by the minute."""
    rows = []
    for name, query in SERIES.items():
        times = [
            tuple(engine.run("event_rows.processor_time", start, end, query, used) * 1000 for used in (False, True))
            for _ in range(CPU_REPEATS)
        ]
        each, by_minute = (median(column) for column in zip(*times, strict=True))
        rows.append((name, f"{each:.0f}", f"{by_minute:.0f}", f"{by_minute / each:.2f}"))
    print_table(("CPU milliseconds, bare", "event by event", "with sums by the minute", "of it"), rows)


if __name__ == "__main__":
    main()
