"""What this process counts as it goes, for ``GET /metrics``. What the stores know is collected by the apps instead."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from django.db import DatabaseError
from prometheus_client import Counter, Histogram
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from fonproxy.clickhouse.errors import EngineError

log = logging.getLogger(__name__)

HTTP_SECONDS: Final = Histogram(
    "fonproxy_http_request_seconds",
    "Requests answered, by route and status.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TAKEN_ROWS: Final = Counter("fonproxy_intake_rows", "Rows made durable, by kind of intake.", ["intake"])
TAKEN_BYTES: Final = Counter("fonproxy_intake_bytes", "Bytes of bodies made durable, unpacked.", ["intake"])
ENGINE_SECONDS: Final = Histogram(
    "fonproxy_engine_seconds",
    "Calls of ClickHouse, by the code that asks and how they ended.",
    ["kind", "outcome"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
)


@contextmanager
def engine_call(kind: str) -> Iterator[None]:
    """Times what happens within as one call of the engine."""
    started = perf_counter()
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    finally:
        ENGINE_SECONDS.labels(kind, outcome).observe(perf_counter() - started)


Families = Sequence[GaugeMetricFamily]


class StoreCollector(Collector):
    """What a store knows, asked anew with every collection, whichever process wrote it.

    ``fill`` puts values into ``families()``. While its store is away nothing is told, and the others are.
    """

    def __init__(self, families: Callable[[], Families], fill: Callable[..., None]) -> None:
        self._families = families
        self._fill = fill

    def describe(self) -> Families:
        """Names alone: registering must not ask the store."""
        return self._families()

    def collect(self) -> Families:
        families = self._families()
        try:
            self._fill(*families)
        except (DatabaseError, EngineError, RedisError) as fault:
            log.warning("some metrics are not told, their store is away: %s", fault)
            return []
        return families


def collect_from_store(families: Callable[[], Families], fill: Callable[..., None]) -> None:
    REGISTRY.register(StoreCollector(families, fill))
