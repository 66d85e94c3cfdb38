"""The body of ``POST /analytics/ingest`` as columns of the inbox."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
from django.conf import settings

from analytics import inbox
from analytics.pushed.rows import parse
from analytics.traffic.row import TRAFFIC
from fonproxy.clickhouse import retention
from fonproxy.timerange import FIRST_YEAR

FIRST_DAY: Final = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)


def to_inbox(body: bytes, now: datetime) -> pa.Table:
    """The rows as inbox columns; raises what ``parse`` raises."""
    return _to_inbox(body, now, oldest=retention.floor("traffic", now))


def history_to_inbox(body: bytes, now: datetime) -> pa.Table:
    """The same for rows of any age, which go to the tables that are kept for ever."""
    return _to_inbox(body, now, oldest=FIRST_DAY)


def _to_inbox(body: bytes, now: datetime, *, oldest: datetime) -> pa.Table:
    columns, directory = parse(TRAFFIC, body, oldest=oldest, now=now, max_rows=settings.INGEST_MAX_ROWS)
    return inbox.to_table(columns, directory, now)
