"""Detects that gateways report fewer rows than at the same time a week ago."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.core.cache import cache
from django.db.models import Q, Sum

from accounts.models import ApiKey
from analytics.models import IngestBatch
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import floor

HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
WEEK: Final = timedelta(days=7)
WINDOW: Final = timedelta(minutes=5)
SILENT: Final = MINUTE
# Fewer rows than this are too few to judge a window.
MIN_EXPECTED: Final = 50
ROUTES: Final = (IngestBatch.Route.TRAFFIC, IngestBatch.Route.LOG, IngestBatch.Route.SESSIONS)

_ROWS: Final = """
SELECT sum(rows) FROM order_traffic WHERE bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}
"""


@dataclass(frozen=True, slots=True)
class Flow:
    """Rows of gateways per minute, now and a week ago, and the time of the last batch of the last day, if any."""

    rate: float
    expected: float
    last_at: datetime | None

    def is_silent(self, now: datetime) -> bool:
        """Whether a minute passed without a row although dozens were expected."""
        idle = WINDOW if self.last_at is None else now - self.last_at
        return idle >= SILENT and self.expected * (idle / MINUTE) >= MIN_EXPECTED

    def is_low(self) -> bool:
        """Less than half of last week's."""
        return self.expected * (WINDOW / MINUTE) >= MIN_EXPECTED and self.rate < self.expected / 2

    def is_stopped(self) -> bool:
        """Less than a tenth of last week's over the whole window."""
        return self.is_low() and self.rate < self.expected / 10


def flow(now: datetime, *, with_last_week: bool) -> Flow:
    """The current flow. Without traffic last week, or on a younger installation, nothing is expected.

    Raises EngineError.
    """
    recent = IngestBatch.objects.filter(route__in=ROUTES, is_void=False)
    since = now - WINDOW
    taken = recent.filter(created_at__gte=since)
    parts = (taken.filter(settled_at=None), taken.filter(settled_at__gte=since))
    rows = sum(part.aggregate(rows=Sum("rows", default=0))["rows"] for part in parts)
    expected = _last_week(now) if with_last_week and is_established(now) else 0.0
    last_at = recent.order_by("-pk").values_list("created_at", flat=True).first() if expected else None
    return Flow(rows / (WINDOW / MINUTE), expected, last_at)


def is_established(now: datetime) -> bool:
    """Whether a used key of a gateway is older than a week, unlike in the demo and on fresh installations."""
    of_gateways = ApiKey.objects.filter(Q(can_ingest=True) | Q(can_gateway=True))
    return of_gateways.filter(created_at__lte=now - WEEK, last_access_at__isnull=False).exists()


def _last_week(now: datetime) -> float:
    """Rows per minute in this hour of last week."""
    start = floor(now - WEEK, HOUR)
    key = f"console-rows:{start:%Y-%m-%dT%H}"
    known: float | None = cache.get(key)
    if known is None:
        [(rows,)] = get_client().fetch(_ROWS, {"start": start, "end": start + HOUR}, tag="console.rows_last_week")
        known = rows / (HOUR / MINUTE)
        cache.set(key, known, HOUR.total_seconds())
    return known
