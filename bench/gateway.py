"""``/gateway/authorize`` with 100,000 logins beside a view that only authenticates the key, in the same server.

Calls per second, the server's processor time and latencies over a few busy connections, rounds in turn; then the same
calls at a fixed rate, as many gateways together would make them, alone and beside half of the pushes that the server
takes at most; and what a report of 20,000 running connections costs, which gateways together make every ten seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from bench.bodies import make_body
from bench.support import ROOT, Embedded, Process, RatioTarget, connected, median, print_table, serving

LOGINS: Final = 100_000
FRESH: Final = 2_000
ORDERS: Final = 10_000
CONNECTIONS: Final = 4
ROUNDS: Final = 3
RATE: Final = 500
SESSIONS: Final = 20_000
SAMPLED_SECONDS: Final = 10
ROWS: Final = 2_000
SHARES: Final = (0.1, 0.5)
P99_MS: Final = RatioTarget(most=20)
PASSWORD: Final = "password-of-all"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=4, help="of each round")
    arguments.add_argument("--logins", type=int, default=LOGINS)
    arguments.add_argument("--sessions", type=int, default=SESSIONS)
    arguments.add_argument("--orders", type=int, default=ORDERS)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name:
        data_dir = Path(name)
        with Embedded(data_dir) as embedded:
            key, owners = embedded.run("gateway_logins.fill", given.orders, given.logins, min(FRESH, given.logins))
        bodies = [make_body(ROWS, owners, datetime.now(UTC), seed).content for seed in range(4)]
        with serving(data_dir, ROOT, DJANGO_SETTINGS_MODULE="bench.gateway_settings") as server:
            _compare(server, key, given.logins, given.seconds)
            before = server.cpu_seconds()
            alone = _paced(server.port, key, given.logins, given.seconds * ROUNDS)
            cores = (server.cpu_seconds() - before) / (given.seconds * ROUNDS)
            print(f"\nAt {RATE} calls/s: {alone}, {cores:.2f} of a core")
            _beside_pushes(server.port, key, given.logins, given.seconds * ROUNDS, bodies)
            reported = _report_sessions(server, key, given.logins, given.sessions)
        with Embedded(data_dir) as embedded:
            rows = embedded.run("gateway_logins.rows_of", "sessions")
        print(f"{rows:,} rows were made of {reported:,} samples.")


def _compare(server: Process, key: str, logins: int, seconds: int) -> None:
    cases = {
        "empty view": ("/gateway/empty", dict),
        "authorize": ("/gateway/authorize", lambda: _sign_in(f"warm-{random.randrange(logins)}")),
    }
    rates: dict[str, list[float]] = {case: [] for case in cases}
    taken: defaultdict[str, list[float]] = defaultdict(list)
    cpu: defaultdict[str, float] = defaultdict(float)

    def measure(case: str, path: str, body: Callable[[], dict[str, str]], *limits: float) -> int:
        before = server.cpu_seconds()
        times = _busy(server.port, key, path, body, *limits)
        cpu[case] += server.cpu_seconds() - before
        taken[case] += times
        return len(times)

    for _ in range(ROUNDS):
        for case, (path, body) in cases.items():
            rates[case].append(measure(case, path, body, seconds) / seconds)
    unused = min(FRESH, logins)
    fresh = iter(range(unused))
    first = "authorize, first sign-in"
    measure(first, "/gateway/authorize", lambda: _sign_in(f"fresh-{next(fresh)}"), 1e9, unused // CONNECTIONS)
    rows = []
    for case, times in taken.items():
        rate = f"{median(rates[case]):,.0f}" if case in rates else ""
        rows.append((case, rate, f"{cpu[case] / len(times) * 1000:.2f}", _ms(times, 0.5), _ms(times, 0.99)))
    print(f"{logins:,} logins, {CONNECTIONS} connections\n")
    print_table(("", "calls/s", "CPU ms", "p50 ms", "p99 ms"), rows)


def _sign_in(login: str) -> dict[str, str]:
    return {"login": login, "password": PASSWORD, "clientIp": "192.0.2.7", "worker": "bench"}


def _busy(port: int, key: str, path: str, body: Any, seconds: float, calls: float = float("inf")) -> list[float]:
    """The seconds that each call took, on connections that call again as soon as they have their answer."""

    def work(_: int) -> list[float]:
        taken: list[float] = []
        with connected(port) as connection:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end and len(taken) < calls:
                taken.append(_call(connection, key, path, body()))
        return taken

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [time for times in pool.map(work, range(CONNECTIONS)) for time in times]


def _paced(port: int, key: str, logins: int, seconds: int) -> str:
    """Keeps each connection to its share of the rate; a late call is timed from when it was due. Returns a summary."""

    def work(number: int) -> list[float]:
        taken: list[float] = []
        start = time.perf_counter() + number / RATE
        with connected(port) as connection:
            for turn in range(RATE * seconds // CONNECTIONS):
                due = start + turn * CONNECTIONS / RATE
                if time.perf_counter() > start + seconds:
                    break  # the machine does not keep up
                time.sleep(max(due - time.perf_counter(), 0))
                _call(connection, key, "/gateway/authorize", _sign_in(f"warm-{random.randrange(logins)}"))
                taken.append(time.perf_counter() - due)
        return taken

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        times = [time for times in pool.map(work, range(CONNECTIONS)) for time in times]
    p99 = float(_ms(times, 0.99))
    made = f"{len(times) / seconds:.0f} made"
    return f"{made}, p50 {_ms(times, 0.5)} ms, p99 {p99} ms ({P99_MS.verdict(p99)})"


def _beside_pushes(port: int, key: str, logins: int, seconds: int, bodies: Sequence[bytes]) -> None:
    """Runs the calls beside pushes.

    The pushing clients have a process of their own so as not to slow the measured ones.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        most = pool.submit(_push, port, key, bodies, seconds / ROUNDS, float("inf")).result()
        for share in SHARES:
            pushing = pool.submit(_push, port, key, bodies, seconds, most * share)
            beside = _paced(port, key, logins, seconds)
            pushed = pushing.result()
            print(f"Beside pushes of {pushed * ROWS:,.0f} rows/s ({pushed / most:.2f} of the most): {beside}")


def _push(port: int, key: str, bodies: Sequence[bytes], seconds: float, rate: float) -> float:
    """Pushes per second over one connection, at most at this rate."""
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    count, start = 0, time.perf_counter()
    with connected(port) as connection:
        while time.perf_counter() < start + seconds:
            connection.request("POST", "/analytics/ingest", bodies[count % len(bodies)], headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 204, content
            count += 1
            time.sleep(max(start + count / rate - time.perf_counter(), 0))
    return count / (time.perf_counter() - start)


def _report_sessions(server: Process, key: str, logins: int, sessions: int) -> int:
    """Reports the sessions and returns the number of samples."""
    started_at = datetime.now(UTC).isoformat()
    taken, cpu = [], []
    with connected(server.port) as connection:
        for turn in range(1, ROUNDS + 1):
            before = server.cpu_seconds()
            samples = [
                {
                    "session": str(number),
                    "login": f"warm-{number % logins}",
                    "worker": "bench",
                    "startedAt": started_at,
                    "bytesSent": turn * 100,
                    "bytesReceived": turn * 10_000,
                    "domain": f"host-{number % 1000}.example",
                }
                for number in range(sessions)
            ]
            taken.append(_call(connection, key, "/gateway/sessions", {"samples": samples}))
            cpu.append(server.cpu_seconds() - before)
    first, *others = taken
    each = median(cpu[1:])
    print(f"\n{sessions:,} running connections in one report: first {first:.2f} s, then {median(others):.2f} s")
    print(f"Every {SAMPLED_SECONDS} s, that is {each / SAMPLED_SECONDS:.2f} of a core ({each:.2f} s of CPU a report).")
    return sessions * ROUNDS


def _call(connection: HTTPConnection, key: str, path: str, body: dict[str, Any]) -> float:
    text = json.dumps(body)
    began = time.perf_counter()
    connection.request("POST", path, text, {"x-api-key": key, "Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status in (200, 204), content
    return time.perf_counter() - began


def _ms(times: list[float], share: float) -> str:
    return f"{sorted(times)[int(len(times) * share)] * 1000:.1f}"


if __name__ == "__main__":
    main()
