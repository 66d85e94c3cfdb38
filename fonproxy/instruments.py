"""Metrics counted by this process, and a base class for metrics read from a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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
    "Duration of requests, by method, route and status.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
INGESTED_ROWS: Final = Counter("fonproxy_ingest_rows", "Rows made durable, by route.", ["route"])
INGESTED_BYTES: Final = Counter("fonproxy_ingest_bytes", "Bytes of bodies made durable, unpacked.", ["route"])

Families = Sequence[GaugeMetricFamily]


class StoreCollector(Collector):
    """Metrics read from a store at each collection, whichever process wrote the data.

    ``fill`` adds samples to ``families()``. While the store is unavailable, these metrics are omitted.
    """

    def __init__(self, families: Callable[[], Families], fill: Callable[..., None]) -> None:
        self._families = families
        self._fill = fill

    def describe(self) -> Families:
        """The names without samples: registering must not query the store."""
        return self._families()

    def collect(self) -> Families:
        families = self._families()
        try:
            self._fill(*families)
        except (DatabaseError, EngineError, RedisError) as fault:
            log.warning("metrics of an unavailable store are omitted: %s", fault)
            return []
        return families


def collect_from_store(families: Callable[[], Families], fill: Callable[..., None]) -> None:
    REGISTRY.register(StoreCollector(families, fill))
