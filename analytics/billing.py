"""Usage of all customers for billing, as a sorted stream of sums that is read in pages.

Sums equal ``order_traffic``, on which ledgers and every other read are based. ``login_traffic`` splits them by login
and worker; traffic pushed before that table existed is returned under an unknown login and worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, NamedTuple, Self
from zoneinfo import ZoneInfo

from django.db.models import Min

from analytics.charts import bucket_key_columns
from analytics.models import IngestBatch
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import HEAVY
from fonproxy.clickhouse.query import Sql
from fonproxy.clickhouse.text import Value
from fonproxy.timerange import DAY, EPOCH, GRAIN, Interval, Range, TimeGrid, ceil, midnight

LATE_AFTER: Final = DAY
"""Rows that arrive this long after the end of their bucket, or later, are in ``late_traffic``."""
TAKING: Final = timedelta(hours=1)
"""Longer than any request takes: when it has passed too, rows on time are readable or in the journal."""
PAGE: Final = 20_000
LAST_NUMBER: Final = 2**64 - 1

_WHERE: Final = (
    "bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}"
    " AND user_id >= {first_user_id:UInt64} AND user_id <= {last_user_id:UInt64}"
    " AND (user_id, order_id) >= ({first_user_id:UInt64}, {first_order_id:UInt64})"
    " AND (user_id, order_id) <= ({last_user_id:UInt64}, {last_order_id:UInt64})"
)
_SIGNED: Final = (
    "{0}toInt64(bytes_sent) AS sent, {0}toInt64(bytes_received) AS received, {0}toInt64(count) AS requests,"
    " {0}toInt64(error_count) AS errors, {0}toInt64(rows) AS rows_, toUInt64(0) AS late"
)
_MEASURES: Final = _SIGNED.format("")
_TAKEN_OFF: Final = _SIGNED.format("-")
_NO_MEASURES: Final = (
    "toInt64(0) AS sent, toInt64(0) AS received, toInt64(0) AS requests, toInt64(0) AS errors, toInt64(0) AS rows_,"
    " rows AS late"
)


class Detail(Enum):
    """How an order's usage is split: SQL for the column and for its value when unknown, and their type."""

    NONE = ("toUInt64(0)", "toUInt64(0)", "UInt64")
    PROXY_USER = ("proxy_user_id", "toUInt64(0)", "UInt64")
    WORKER = ("toString(worker)", "''", "String")

    def __init__(self, column: str, unknown: str, type_: str) -> None:
        self.column, self.unknown, self.type = column, unknown, type_


class OrderKey(NamedTuple):
    """A user and an order as pushed; the order may be unknown or another user's."""

    user_id: int
    order_id: int


FIRST_KEY: Final = OrderKey(0, 0)
LAST_KEY: Final = OrderKey(LAST_NUMBER, LAST_NUMBER)


class UsageKey(NamedTuple):
    """The sort key of rows. ``local`` is the day as in a ``BucketKey``, 0 for the whole range."""

    user_id: int
    order_id: int
    detail: int | str
    local: int


class UsageSum(NamedTuple):
    """Sums of one key; times are starts of buckets. ``late_rows`` arrived after the period had closed."""

    key: UsageKey
    bytes_sent: int
    bytes_received: int
    requests: int
    errors: int
    first: datetime
    last: datetime
    late_rows: int


@dataclass(frozen=True, slots=True)
class Periods:
    """The periods of the sums, by the ``local`` of a key: the whole range, or its local days."""

    range: Range
    by_local: Mapping[int, Range]
    grid: TimeGrid | None = None

    @classmethod
    def whole(cls, range_: Range) -> Self:
        return cls(range_, {0: range_})

    @classmethod
    def days(cls, range_: Range, zone: ZoneInfo) -> Self:
        """The days in the range; the first and the last are cut to it."""
        grid = TimeGrid.over(range_, Interval.DAY, zone)
        edges = grid.edges()
        # Zones that crossed the date line skipped a day, so the query counts days by position.
        locals_ = range(edges[0].local, edges[-1].local + 1, Interval.DAY.seconds) if edges else ()
        return cls(range_, {local: _day(local, range_, zone) for local in locals_}, grid)

    @property
    def key_columns(self) -> str:
        """SQL for the column ``local``, and ``place``, the position of its period."""
        if self.grid is None:
            return "toInt64(0) AS local, 1 AS place"
        columns = bucket_key_columns(self.grid, "toUnixTimestamp(bucket)")
        first = next(iter(self.by_local))
        return f"{columns}, intDiv(local - ({first}), {Interval.DAY.seconds}) + 1 AS place"

    @property
    def late_from(self) -> list[int]:
        """For each period, the time from which rows count as late, in seconds since 1970."""
        return [int((period.end + LATE_AFTER).timestamp()) for period in self.by_local.values()]


def _day(local: int, range_: Range, zone: ZoneInfo) -> Range:
    day = (EPOCH + timedelta(seconds=local)).date()
    start, end = (ceil(midnight(at, zone), GRAIN) for at in (day, day + DAY))
    return Range(max(start, range_.start), min(end, range_.end))


@dataclass(frozen=True, slots=True)
class UsagePageQuery:
    """At most ``size`` sums of the orders from ``first`` to ``last``, after the key ``after``."""

    periods: Periods
    detail: Detail
    first: OrderKey
    last: OrderKey
    size: int = PAGE
    after: UsageKey | None = None

    def to_sql(self) -> Sql:
        after = (
            " AND (user_id, order_id, detail, local) > ({after_user_id:UInt64}, {after_order_id:UInt64},"
            f" {{after_detail:{self.detail.type}}}, {{after_local:Int64}})"
            if self.after
            else ""
        )
        text = (
            "SELECT user_id, order_id, detail, local, sum(sent), sum(received), sum(requests), sum(errors),"
            " if(sum(own) > 0, minIf(bucket, own), min(bucket)), if(sum(own) > 0, maxIf(bucket, own), max(bucket)),"
            f" sum(late), sum(rows_) AS pushed FROM ({' UNION ALL '.join(self._parts())})"
            f" GROUP BY user_id, order_id, detail, local HAVING pushed > 0{after}"
            " ORDER BY user_id, order_id, detail, local LIMIT {size:UInt32}"
        )
        params: dict[str, Value] = {
            "start": self.periods.range.start,
            "end": self.periods.range.end,
            "late_from": self.periods.late_from,
            "size": self.size,
            **{f"first_{name}": value for name, value in self.first._asdict().items()},
            **{f"last_{name}": value for name, value in self.last._asdict().items()},
            **({f"after_{name}": value for name, value in self.after._asdict().items()} if self.after else {}),
        }
        return Sql(text, params)

    def _parts(self) -> Iterator[str]:
        """The rows to sum; of each measure exactly those of ``order_traffic`` remain."""
        column = self.detail.column
        if self.detail is Detail.NONE:
            yield self._part(column, _MEASURES, "1", "order_traffic")
        else:
            unknown = self.detail.unknown
            yield self._part(unknown, _MEASURES, "0", "order_traffic")
            yield self._part(column, _MEASURES, "1", "login_traffic")
            yield self._part(unknown, _TAKEN_OFF, "0", "login_traffic")
        late = f"{_WHERE} AND toUnixTimestamp(late_at) >= arrayElement({{late_from:Array(Int64)}}, place)"
        yield self._part(column, _NO_MEASURES, "0", "late_traffic", late)

    def _part(self, detail: str, measures: str, own: str, table: str, where: str = _WHERE) -> str:
        return (
            f"SELECT user_id, order_id, bucket, {self.periods.key_columns}, {detail} AS detail, {measures},"
            f" toUInt8({own}) AS own FROM {table} WHERE {where}"
        )


def sums(
    periods: Periods, detail: Detail, first: OrderKey, last: OrderKey, size: int = PAGE
) -> Iterator[list[UsageSum]]:
    """All sums of the orders from ``first`` to ``last``, sorted, at most ``size`` at a time. Raises EngineError."""
    after: UsageKey | None = None
    while True:
        sql = UsagePageQuery(periods, detail, first, last, size, after).to_sql()
        rows = get_client().fetch(sql.text, sql.params, profile=HEAVY, tag="billing.sums")
        found = [UsageSum(UsageKey(*row[:4]), *row[4:-1]) for row in rows]
        if found:
            yield found
        if len(found) < size:
            return
        after = found[-1].key
        first = OrderKey(after.user_id, after.order_id)


def closed_before(now: datetime) -> datetime:
    """Periods that ended by then are closed: rows that arrive for them later count as late.

    Call it before reading the sums. A batch in the journal counts as not yet arrived, however long it waits there.
    """
    unsettled = IngestBatch.objects.filter(settled_at=None).exclude(route=IngestBatch.Route.EVENTS)
    oldest: datetime | None = unsettled.aggregate(Min("created_at"))["created_at__min"]
    return min(now, oldest or now) - TAKING - LATE_AFTER
