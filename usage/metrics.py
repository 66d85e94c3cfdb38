"""Alerts and their deliveries, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Q
from prometheus_client.core import REGISTRY, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usage.models import Alert, Delivery, Difference, Firing

_WAITING = Q(delivered_at=None, gave_up_at=None)


class AlertCollector(Collector):
    """Asked anew with every collection, whichever process fired or delivered."""

    def describe(self) -> list[Metric]:
        """Names alone: registering must not ask the database."""
        return list(_families())

    def collect(self) -> Iterator[Metric]:
        armed, firings, deliveries, differences = _families()
        armed.add_metric([], Alert.objects.filter(is_armed=True).count())
        firings.add_metric([], Firing.objects.count())
        states = Delivery.objects.aggregate(
            delivered=Count("pk", filter=~Q(delivered_at=None)),
            waiting=Count("pk", filter=_WAITING & Q(attempts=0)),
            failing=Count("pk", filter=_WAITING & Q(attempts__gt=0)),
            given_up=Count("pk", filter=~Q(gave_up_at=None)),
        )
        for state, count in states.items():
            deliveries.add_metric([state], count)
        differences.add_metric([], Difference.objects.count())
        yield from (armed, firings, deliveries, differences)


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("fonproxy_alerts_armed", "Alerts that wait for their threshold."),
        GaugeMetricFamily("fonproxy_alert_firings", "Firings on record."),
        GaugeMetricFamily("fonproxy_alert_deliveries", "Deliveries on record, by state.", labels=["state"]),
        GaugeMetricFamily("fonproxy_ledger_differences", "Ledger lines that the nightly comparison had to set right."),
    )


def register() -> None:
    REGISTRY.register(AlertCollector())
