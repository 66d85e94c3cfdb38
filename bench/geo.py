"""Compare ``/geo/counts`` with a ViewSet that does nothing, in the same server, and time counting static IPs.

wrk sends the requests over one thread and 16 connections, in alternating rounds. The medians of the rates are compared,
and those of the server's processor time per request, which other work on the machine affects less.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench.support import ROOT, Embedded, Process, RatioTarget, connected, median, print_table, serving

COUNTRIES: Final = 240
ADDRESSES: Final = 1_000_000
ROUNDS: Final = 3
SETTINGS: Final = {
    "DJANGO_SETTINGS_MODULE": "bench.geo_settings",
    # The throttle keeps the time of every call in its period: here a second's worth, as it would a customer's minute.
    "FONPROXY_THROTTLE_PUBLIC": "1000000/sec",
    # Never called: the counts are claimed. Without an address the type would have no counts.
    "FONPROXY_GEO_RESIDENTIAL_URL": "http://127.0.0.1:9/",
    "FONPROXY_GEO_MOBILE_URL": "http://127.0.0.1:9/",
    "FONPROXY_GEO_DATACENTER_URL": "http://127.0.0.1:9/",
}
OF_EMPTY: Final = RatioTarget(least=0.9)
COUNTING: Final = RatioTarget(most=2)
_RATE: Final = re.compile(r"(\d+) requests in .*Requests/sec:\s+([\d.]+)", re.DOTALL)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=4, help="of each round")
    arguments.add_argument("--addresses", type=int, default=ADDRESSES)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name:
        data_dir = Path(name)
        with Embedded(data_dir) as embedded:
            embedded.run("geo_counts.fill_counts", COUNTRIES)
        _compare(data_dir, given.seconds)
    with tempfile.TemporaryDirectory(prefix="fonproxy-bench-") as name, Embedded(Path(name)) as embedded:
        embedded.run("geo_counts.fill_addresses", given.addresses)
        countries, seconds = embedded.run("geo_counts.seconds_to_count")
        print(f"\nCounting {given.addresses:,} static IPs ({countries:,} counts): {seconds:.2f} s")
        print(COUNTING.verdict(seconds))


def _compare(data_dir: Path, seconds: int) -> None:
    with serving(data_dir, ROOT, **SETTINGS) as process:
        with connected(process.port) as connection:
            etag, size = _first_answer(connection)
        cases = {
            "empty ViewSet": ("/empty", []),
            "304": ("/geo/counts", ["-H", f"If-None-Match: {etag}"]),
            f"full, {size // 1024} KiB": ("/geo/counts", []),
        }
        found: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
        for turn in range(ROUNDS):
            # Each one starts a round once: one's leftovers slow the next.
            order = [*cases][turn % len(cases) :] + [*cases][: turn % len(cases)]
            for case in order:
                found[case].append(_rate(process, *cases[case], seconds))
    medians = [tuple(map(median, zip(*rounds, strict=True))) for rounds in found.values()]
    (empty_rate, empty_cpu), *_ = medians
    rows = [
        (
            case,
            f"{rate:,.0f}",
            f"{rate / empty_rate:.2f}",
            f"{cpu:.2f}",
            f"{empty_cpu / cpu:.2f}",
            OF_EMPTY.verdict(empty_cpu / cpu),
        )
        for case, (rate, cpu) in zip(cases, medians, strict=True)
    ]
    print_table(("", "requests/s", "of empty", "CPU ms each", "empty of it", ""), rows)


def _first_answer(connection: HTTPConnection) -> tuple[str, int]:
    connection.request("GET", "/geo/counts")
    answer = connection.getresponse()
    etag = answer.getheader("ETag")
    assert etag is not None
    return etag, len(answer.read())


def _rate(process: Process, path: str, options: list[str], seconds: int) -> tuple[float, float]:
    """Requests per second, and the server's processor time for each in milliseconds."""
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", *options, f"http://127.0.0.1:{process.port}{path}"]
    before = process.cpu_seconds()
    found = _RATE.search(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found is not None
    return float(found[2]), (process.cpu_seconds() - before) * 1000 / int(found[1])


if __name__ == "__main__":
    main()
