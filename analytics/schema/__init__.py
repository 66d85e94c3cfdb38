"""ClickHouse's schema: numbered SQL files, and how long each table keeps its rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings

from fonproxy.clickhouse.retention import DAY, SECOND, Retention

BUCKET: Final = timedelta(minutes=15)
MINUTE: Final = timedelta(minutes=1)


def retention() -> dict[str, Retention]:
    """How long each table keeps its rows; tables without an entry keep them for ever."""
    return {
        "traffic": Retention("bucket", BUCKET, months=settings.TRAFFIC_RETENTION_MONTHS),
        "order_traffic": Retention("bucket", BUCKET),
        "login_traffic": Retention("bucket", BUCKET),
        "late_traffic": Retention("bucket", BUCKET),
        "minute_traffic": Retention("minute", MINUTE, days=1),
        "daily_host": Retention("day", DAY, days=90),
        "daily_host_times": Retention("day", DAY, days=90),
        "daily_network": Retention("day", DAY),
        "traffic_detail": Retention("bucket", BUCKET, days=90),
        "requests": Retention("ts", SECOND, days=7),
        "events": Retention("ts", SECOND, months=settings.APINALYTICS_RETENTION_MONTHS),
        "unlogged_traffic": Retention("bucket", BUCKET, days=7),
    }
