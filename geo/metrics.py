"""How the loaders fare, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.registry import Collector

from geo.services import loader_states


class LoaderCollector(Collector):
    """Asked anew with every collection: the states are in the relational store, whichever process wrote them."""

    def describe(self) -> list[GaugeMetricFamily]:
        """Names alone: registering must not ask the database."""
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = timezone.now()
        stale, age = _families()
        for state in loader_states(now):
            stale.add_metric([state.proxy_type], float(state.is_stale))
            if state.loaded_at is not None:
                age.add_metric([state.proxy_type], (now - state.loaded_at).total_seconds())
        yield stale
        yield age


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    labels = ["proxy_type"]
    return (
        GaugeMetricFamily(
            "fonproxy_geo_loader_stale", "1 when the loader's counts are old or it failed.", labels=labels
        ),
        GaugeMetricFamily("fonproxy_geo_counts_age_seconds", "Since the counts were loaded.", labels=labels),
    )


def register() -> None:
    REGISTRY.register(LoaderCollector())
