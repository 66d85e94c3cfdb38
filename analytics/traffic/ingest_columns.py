"""The body of ``POST /analytics/ingest`` as columns of the inbox."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
from django.conf import settings

from analytics.ingest import columns as ingest_columns
from analytics.ingest import lists
from analytics.ingest.attribution import AttributionMap
from analytics.ingest.checks import Columns
from analytics.ingest.decode import parse
from analytics.ingest.lists import Rows
from analytics.traffic.ingest_row import TRAFFIC
from fonproxy.clickhouse import retention
from fonproxy.timerange import FIRST_YEAR

FIRST_DAY: Final = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)


def to_inbox(body: bytes, now: datetime) -> pa.Table:
    """The rows as inbox columns; raises what ``parse`` raises."""
    return _to_inbox(body, now, oldest=retention.floor("traffic", now))


def pushed_rows(body: bytes, now: datetime) -> Rows:
    """The same as lists when there are few rows."""
    columns, directory = _checked(body, now, oldest=retention.floor("traffic", now))
    if 0 < len(columns["who"]) <= lists.MAX_ROWS:
        return lists.to_lists(columns, directory, now)
    return ingest_columns.to_table(columns, directory, now)


def history_to_inbox(body: bytes, now: datetime) -> pa.Table:
    """The same for rows of any age, for the tables that are kept for ever."""
    return _to_inbox(body, now, oldest=FIRST_DAY)


def _to_inbox(body: bytes, now: datetime, *, oldest: datetime) -> pa.Table:
    columns, directory = _checked(body, now, oldest=oldest)
    return ingest_columns.to_table(columns, directory, now)


def _checked(body: bytes, now: datetime, *, oldest: datetime) -> tuple[Columns, AttributionMap]:
    return parse(TRAFFIC, body, oldest=oldest, now=now, max_rows=settings.INGEST_MAX_ROWS)
