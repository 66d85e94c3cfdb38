"""The journal's depth and age, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.registry import Collector

from analytics import journal


class JournalCollector(Collector):
    """Asked anew with every collection: the journal is in the relational store, whichever process wrote it."""

    def describe(self) -> list[GaugeMetricFamily]:
        """Names alone: registering must not ask the database."""
        return _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        depth = journal.depth(timezone.now())
        values = (depth.batches, depth.rows, depth.size, depth.age.total_seconds(), depth.refused_groups)
        for family, value in zip(_families(), values, strict=True):
            family.add_metric([], value)
            yield family


def _families() -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily("fonproxy_journal_batches", "Batches that ClickHouse does not have yet."),
        GaugeMetricFamily("fonproxy_journal_rows", "Their rows."),
        GaugeMetricFamily("fonproxy_journal_bytes", "Their stored size."),
        GaugeMetricFamily("fonproxy_journal_age_seconds", "Since the oldest of them was taken."),
        GaugeMetricFamily("fonproxy_journal_refused_groups", "Groups that ClickHouse did not take so far."),
    ]


def register() -> None:
    REGISTRY.register(JournalCollector())
