"""The proxy servers that reported in the last day, and how far each lags behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count

from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import DAY, floor
from fonproxy.units import amount, duration
from orders.models import SESSION_SILENCE, ProxySession

LATE: Final = timedelta(minutes=5)
HOUR: Final = timedelta(hours=1)
MAX_GATEWAYS: Final = 500

_SQL: Final = """
SELECT
    worker, max(minute) AS last, sumIf(count, minute >= {hour:DateTime('UTC')}),
    sumIf(bytes_sent + bytes_received, minute >= {hour:DateTime('UTC')}),
    sumIf(error_count, minute >= {hour:DateTime('UTC')})
FROM minute_traffic WHERE worker != '' AND minute >= {since:DateTime('UTC')} AND minute <= {now:DateTime('UTC')}
GROUP BY worker ORDER BY last, worker LIMIT {most:UInt32}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A proxy server by its reported name, and its traffic of the last hour."""

    name: str
    last_at: datetime
    lag: timedelta
    requests: int
    bytes: int
    errors: int
    sessions: int

    @property
    def is_late(self) -> bool:
        return self.lag > LATE

    @property
    def lag_text(self) -> str:
        return duration(self.lag)

    @property
    def traffic(self) -> str:
        return amount(self.bytes)


def latest(now: datetime) -> list[Gateway]:
    """The gateways of the last day, the one that has been silent longest first. Raises EngineError."""
    times = {"since": floor(now - DAY, timedelta(minutes=1)), "hour": now - HOUR, "now": now}
    at = {name: time.replace(microsecond=0) for name, time in times.items()}
    rows = get_client().fetch(_SQL, {**at, "most": MAX_GATEWAYS}, tag="console.gateways")
    running = ProxySession.objects.filter(ended_at=None, seen_at__gt=now - SESSION_SILENCE).order_by()
    sessions = dict(running.values_list("worker").annotate(Count("pk")))
    return [
        Gateway(name, last, max(now - last, timedelta()), requests, size, errors, sessions.get(name, 0))
        for name, last, requests, size, errors in rows
    ]
