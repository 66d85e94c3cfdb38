"""Alerts and their deliveries, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import REGISTRY, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usage.alerts import deliveries
from usage.models import Alert, Difference, Firing


class AlertCollector(Collector):
    """Asked anew with every collection, whichever process fired or delivered."""

    def describe(self) -> list[Metric]:
        """Names alone: registering must not ask the database."""
        return list(_families())

    def collect(self) -> Iterator[Metric]:
        armed, firings, told, differences = _families()
        armed.add_metric([], Alert.objects.filter(is_armed=True).count())
        firings.add_metric([], Firing.objects.count())
        for state, count in deliveries.by_state().items():
            told.add_metric([state], count)
        differences.add_metric([], Difference.objects.count())
        yield from (armed, firings, told, differences)


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("fonproxy_alerts_armed", "Alerts that wait for their threshold."),
        GaugeMetricFamily("fonproxy_alert_firings", "Firings on record."),
        GaugeMetricFamily("fonproxy_alert_deliveries", "Deliveries on record, by state.", labels=["state"]),
        GaugeMetricFamily("fonproxy_ledger_differences", "Ledger lines that the nightly comparison had to set right."),
    )


def register() -> None:
    REGISTRY.register(AlertCollector())
