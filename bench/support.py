"""Shared by the benchmarks: a served product, a process with an engine, percentiles and tables.

Does not import Django.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS: Final = 60
STOP_SECONDS: Final = 30
_LISTENS: Final = re.compile(r"listens on http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class RatioTarget:
    """A limit for a ratio or difference: ``least`` where more is better, ``most`` where less is better."""

    least: float | None = None
    most: float | None = None

    def verdict(self, value: float) -> str:
        if self.least is not None:
            return f"target >= {self.least:g}: {'met' if value >= self.least else 'MISSED'}"
        if self.most is not None:
            return f"target <= {self.most:g}: {'met' if value <= self.most else 'MISSED'}"
        return ""


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """This process's environment, with the product's settings replaced by a data directory and these variables."""
    ours = ("FONPROXY_", "DATABASE_URL", "CLICKHOUSE_URL", "REDIS_URL", "EMAIL_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "fonproxy.settings",
        "FONPROXY_DATA_DIR": str(data_dir),
        "FONPROXY_LOG_LEVEL": "WARNING",
        **variables,
    }


@dataclass(frozen=True, slots=True)
class Process:
    """A server process of the product."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


@contextmanager
def served(data_dir: Path, **variables: str) -> Iterator[int]:
    """Runs ``manage.py serve`` over this data directory on a free loopback port."""
    with serving(data_dir, ROOT, **variables) as process:
        yield process.port


@contextmanager
def serving(data_dir: Path, tree: Path, **variables: str) -> Iterator[Process]:
    """Runs ``manage.py serve`` of this checkout, in its own environment if it has one."""
    own = tree / ".venv/bin/python"
    command = [str(own) if own.exists() else sys.executable, "manage.py", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tree, env=environment(data_dir, **variables), stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            listens = next(filter(None, map(_LISTENS.search, server.stdout)), None)
            if listens is None:
                raise RuntimeError("The server ended before it listened.")
            yield Process(int(listens[1]), server.pid)
        finally:
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


@dataclass(frozen=True, slots=True)
class ServedDemo:
    """The served demo; ``password`` is shared by all its users."""

    url: str
    password: str


@contextmanager
def demo() -> Iterator[ServedDemo]:
    """The product with its demo's two months of traffic, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="fonproxy-demo-") as name:
        for command in ("migrate", "clickhouse_migrate", "seed_demo"):
            told = subprocess.run(
                [sys.executable, "manage.py", command],
                cwd=ROOT,
                env=environment(Path(name)),
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
        password = re.search(r"password (\w+)", told)
        assert password
        # Staff sign in with the password alone, as in `serve --demo`.
        variables = {"FONPROXY_THROTTLE_READ": "100000/min", "FONPROXY_STAFF_SECOND_FACTOR": "false"}
        with served(Path(name), **variables) as port:
            yield ServedDemo(f"http://127.0.0.1:{port}", password[1])


@contextmanager
def connected(port: int) -> Iterator[HTTPConnection]:
    """One keep-alive connection to a served product."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


class Embedded:
    """A process of its own with Django and an open engine over a data directory, with these settings as well."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        # Spawned: a process that has loaded the engine must not fork.
        self._pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_set_up, initargs=(environment(data_dir, **variables),)
        )

    def run(self, function: str, *args: Any) -> Any:
        """Calls ``module.function`` of this package there; by name, because its module cannot be imported here."""
        return self._pool.submit(_call, function, args).result()

    def __enter__(self) -> Embedded:
        return self

    def __exit__(self, *fault: object) -> None:
        self._pool.submit(_close).result()
        self._pool.shutdown()


def _set_up(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("clickhouse_migrate", stdout=io.StringIO())


def _call(name: str, arguments: tuple[Any, ...]) -> Any:
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f"bench.{module}"), function)(*arguments)


def _close() -> None:
    from fonproxy.clickhouse.client import close_client

    close_client()


def milliseconds_of_get(connection: HTTPConnection, path: str, headers: dict[str, str]) -> float:
    """Time until the last byte of the response; raises RuntimeError for anything but 200."""
    started = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered with {answer.status}: {body[:200]!r}")
    return (time.perf_counter() - started) * 1000


def print_beside_bare(
    cases: dict[str, str], bare: Callable[[str], float], http: Callable[[str], float], repeats: int
) -> None:
    """The medians of each case, bare and over HTTP, in milliseconds, measured alternately."""
    rows = []
    for name, query in cases.items():
        times = [(bare(query), http(query)) for _ in range(repeats)]
        bare_ms, http_ms = (median(column) for column in zip(*times, strict=True))
        rows.append((name, f"{bare_ms:.1f}", f"{http_ms:.1f}", f"{http_ms / bare_ms:.2f}"))
    print_table(("p50, milliseconds", "bare", "HTTP", "of bare"), rows)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least this percentage of all values do not exceed."""
    return sorted(values)[-(-len(values) * percent // 100) - 1]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns under their names, the first left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [
            f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells))
    print()
