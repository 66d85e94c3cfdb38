"""Metrics of the journal's depth and age."""

from __future__ import annotations

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily

from analytics.ingest import journal
from fonproxy.instruments import collect_from_store


def _families() -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily("fonproxy_journal_batches", "Batches that wait for ClickHouse."),
        GaugeMetricFamily("fonproxy_journal_rows", "Rows that wait for ClickHouse."),
        GaugeMetricFamily("fonproxy_journal_bytes", "Stored bytes of waiting batches."),
        GaugeMetricFamily("fonproxy_journal_age_seconds", "Age of the oldest waiting batch."),
        GaugeMetricFamily("fonproxy_journal_refused_blocks", "Insert blocks that ClickHouse refused so far."),
    ]


def _fill(*families: GaugeMetricFamily) -> None:
    depth = journal.depth(timezone.now())
    values = (depth.batches, depth.rows, depth.size, depth.age.total_seconds(), depth.refused_blocks)
    for family, value in zip(families, values, strict=True):
        family.add_metric([], value)


def register() -> None:
    collect_from_store(_families, _fill)
