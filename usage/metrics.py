"""Alerts and their deliveries, for Prometheus."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily

from fonproxy.measures import collect_from_store
from usage.alerts import deliveries
from usage.models import Alert, Difference, Firing


def _families() -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily("fonproxy_alerts_armed", "Alerts that wait for their threshold."),
        GaugeMetricFamily("fonproxy_alert_firings", "Firings on record."),
        GaugeMetricFamily("fonproxy_alert_deliveries", "Deliveries on record, by state.", labels=["state"]),
        GaugeMetricFamily("fonproxy_ledger_differences", "Ledger lines that the nightly comparison had to set right."),
    ]


def _fill(
    armed: GaugeMetricFamily, firings: GaugeMetricFamily, told: GaugeMetricFamily, differences: GaugeMetricFamily
) -> None:
    armed.add_metric([], Alert.objects.filter(is_armed=True).count())
    firings.add_metric([], Firing.objects.count())
    for state, count in deliveries.by_state().items():
        told.add_metric([state], count)
    differences.add_metric([], Difference.objects.count())


def register() -> None:
    collect_from_store(_families, _fill)
