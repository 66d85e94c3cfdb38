"""The journal's depth and age, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Min, Sum
from django.utils import timezone
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.registry import Collector

from analytics.models import Batch, Group


class JournalCollector(Collector):
    """Asked anew with every collection: the journal is in the relational store, whichever process wrote it."""

    def describe(self) -> list[GaugeMetricFamily]:
        """Names alone: registering must not ask the database."""
        return _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = timezone.now()
        waiting = Batch.objects.filter(settled_at=None).aggregate(
            batches=Count("pk"), rows=Sum("rows", default=0), size=Sum("size", default=0), oldest=Min("created_at")
        )
        age = (now - waiting["oldest"]).total_seconds() if waiting["oldest"] else 0.0
        refused = Group.objects.filter(settled_at=None, attempts__gt=0).count()
        values = (waiting["batches"], waiting["rows"], waiting["size"], age, refused)
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
