"""The journal's depth and age, for Prometheus."""

from __future__ import annotations

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily

from analytics import journal
from fonproxy.measures import collect_from_store


def _families() -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily("fonproxy_journal_batches", "Batches that ClickHouse does not have yet."),
        GaugeMetricFamily("fonproxy_journal_rows", "Their rows."),
        GaugeMetricFamily("fonproxy_journal_bytes", "Their stored size."),
        GaugeMetricFamily("fonproxy_journal_age_seconds", "Since the oldest of them was taken."),
        GaugeMetricFamily("fonproxy_journal_refused_groups", "Groups that ClickHouse did not take so far."),
    ]


def _fill(*families: GaugeMetricFamily) -> None:
    depth = journal.depth(timezone.now())
    values = (depth.batches, depth.rows, depth.size, depth.age.total_seconds(), depth.refused_groups)
    for family, value in zip(families, values, strict=True):
        family.add_metric([], value)


def register() -> None:
    collect_from_store(_families, _fill)
