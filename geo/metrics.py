"""Metrics of the loaders."""

from __future__ import annotations

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily

from fonproxy.instruments import collect_from_store
from geo.services import loader_states


def _families() -> list[GaugeMetricFamily]:
    labels = ["proxy_type"]
    return [
        GaugeMetricFamily(
            "fonproxy_geo_loader_stale", "1 when the loader's counts are old or it failed.", labels=labels
        ),
        GaugeMetricFamily("fonproxy_geo_counts_age_seconds", "Age of the loader's counts.", labels=labels),
    ]


def _fill(stale: GaugeMetricFamily, age: GaugeMetricFamily) -> None:
    now = timezone.now()
    for state in loader_states(now):
        stale.add_metric([state.proxy_type], float(state.is_stale))
        if state.loaded_at is not None:
            age.add_metric([state.proxy_type], (now - state.loaded_at).total_seconds())


def register() -> None:
    collect_from_store(_families, _fill)
