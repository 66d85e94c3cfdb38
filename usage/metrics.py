"""Metrics of alerts, deliveries and ledger mismatches."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily

from fonproxy import delivery
from fonproxy.instruments import collect_from_store
from orders.models import EventDelivery, LedgerMismatch
from usage.models import Alert, Delivery, Firing


def _families() -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily("fonproxy_alerts_armed", "Armed alerts."),
        GaugeMetricFamily("fonproxy_alert_firings", "Firings on record."),
        GaugeMetricFamily("fonproxy_alert_deliveries", "Deliveries on record, by state.", labels=["state"]),
        GaugeMetricFamily(
            "fonproxy_event_deliveries", "Deliveries of events to the provider's webhooks, by state.", labels=["state"]
        ),
        GaugeMetricFamily("fonproxy_ledger_mismatches", "Ledger lines that the nightly comparison corrected."),
    ]


def _fill(
    armed: GaugeMetricFamily,
    firings: GaugeMetricFamily,
    deliveries_by_state: GaugeMetricFamily,
    events_by_state: GaugeMetricFamily,
    mismatches: GaugeMetricFamily,
) -> None:
    armed.add_metric([], Alert.objects.filter(is_armed=True).count())
    firings.add_metric([], Firing.objects.count())
    for state, count in delivery.by_state(Delivery.objects.all()).items():
        deliveries_by_state.add_metric([state], count)
    for state, count in delivery.by_state(EventDelivery.objects.all()).items():
        events_by_state.add_metric([state], count)
    mismatches.add_metric([], LedgerMismatch.objects.count())


def register() -> None:
    collect_from_store(_families, _fill)
