"""Metric of the duration of ClickHouse calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from prometheus_client import Histogram

ENGINE_SECONDS: Final = Histogram(
    "fonproxy_engine_seconds",
    "Calls to ClickHouse, by calling code and outcome.",
    ["kind", "outcome"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
)


@contextmanager
def engine_call(kind: str) -> Iterator[None]:
    """Measures the context as one call to ClickHouse."""
    started = perf_counter()
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    finally:
        ENGINE_SECONDS.labels(kind, outcome).observe(perf_counter() - started)
