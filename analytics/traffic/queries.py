"""The questions of the FonProxy Analytics API, each as SQL text and bound values. Pure: nothing is executed here.

No question can be asked without an account and a range. Charts without a domain read the small rollup per order; what
needs domains or errors reads the wide table. The last column of every answer is the account's newest bucket, which
every response carries: one statement costs less than two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fonproxy.timerange import Axis, Range, Segment

ROLLUP: Final = "order_traffic"
WIDE: Final = "traffic"


# Read from the end of the account's key.
NEWEST: Final = (
    f"(SELECT bucket FROM {ROLLUP} WHERE user_id = {{user_id:UInt64}} ORDER BY user_id DESC, bucket DESC LIMIT 1)"
)


class Measure(StrEnum):
    """What can be charted, as SQL."""

    BYTES_SENT = "sum(bytes_sent)"
    BYTES_RECEIVED = "sum(bytes_received)"
    BYTES_TOTAL = "sum(bytes_sent) + sum(bytes_received)"
    COUNT = "sum(count)"
    ERRORS = "sum(error_count)"
    MAX_CONCURRENCY = "max(max_concurrency)"


@dataclass(frozen=True, slots=True)
class Sql:
    text: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows, when, and optionally of which order and domain. ``range`` lies on whole buckets."""

    user_id: int
    range: Range
    order_id: int | None = None
    domain: str | None = None

    def where(self) -> Sql:
        conditions = [
            "user_id = {user_id:UInt64}",
            "bucket >= {start:DateTime('UTC')}",
            "bucket < {end:DateTime('UTC')}",
        ]
        params: dict[str, Any] = {"user_id": self.user_id, "start": self.range.start, "end": self.range.end}
        if self.order_id is not None:
            conditions.append("order_id = {order_id:UInt64}")
            params["order_id"] = self.order_id
        if self.domain is not None:
            conditions.append("domain = {domain:String}")
            params["domain"] = self.domain
        return Sql(" AND ".join(conditions), params)


def chart_table(scope: Scope) -> str:
    return ROLLUP if scope.domain is None else WIDE


@dataclass(frozen=True, slots=True)
class Chart:
    """Rows ``(segment, local, *measures)`` by edge; see :class:`fonproxy.timerange.Edge`."""

    scope: Scope
    axis: Axis
    measures: tuple[Measure, ...]

    def to_sql(self) -> Sql:
        where = self.scope.where()
        text = (
            f"SELECT {edge(self.axis, 'toUnixTimestamp(bucket)')}, {', '.join(self.measures)}, {NEWEST}"
            f" FROM {chart_table(self.scope)} WHERE {where.text} GROUP BY segment, local ORDER BY segment, local"
        )
        return Sql(text, where.params)


def edge(axis: Axis, epoch: str) -> str:
    """SQL for the columns ``segment`` and ``local`` of :class:`fonproxy.timerange.Edge`; ``epoch`` is a row's time."""
    width = axis.interval.seconds
    number = "0" if axis.is_by_day else _by_segment(axis.segments, epoch, lambda i, _: i)
    offset = _by_segment(axis.segments, epoch, lambda _, segment: segment.offset)
    return f"{number} AS segment, intDiv(toInt64({epoch}) + {offset}, {width}) * {width} AS local"


def _by_segment(segments: tuple[Segment, ...], epoch: str, value: Callable[[int, Segment], int]) -> str:
    """SQL for what holds in the segment of a row."""
    *earlier, last = list(enumerate(segments))
    if not earlier:
        return str(value(*last))
    cases = [f"{epoch} < {segment.end}, {value(i, segment)}" for i, segment in earlier]
    return f"multiIf({', '.join(cases)}, {value(*last)})"


class DomainOrder(StrEnum):
    BYTES = "bytes"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Domains:
    """Rows ``(domain, count, sent, received, errors)``, largest first."""

    scope: Scope
    order: DomainOrder
    limit: int

    def to_sql(self) -> Sql:
        where = self.scope.where()
        largest = {DomainOrder.BYTES: "sent + received", DomainOrder.COUNT: "requests"}[self.order]
        text = (
            "SELECT domain, sum(count) AS requests, sum(bytes_sent) AS sent,"
            " sum(bytes_received) AS received, sum(error_count),"
            f" {NEWEST} FROM {WIDE} WHERE {where.text} GROUP BY domain ORDER BY {largest} DESC, domain"
            " LIMIT {limit:UInt32}"
        )
        return Sql(text, {**where.params, "limit": self.limit})


@dataclass(frozen=True, slots=True)
class Errors:
    """Rows ``(error, errors, first bucket, last bucket, domains)``, most errors first."""

    scope: Scope
    limit: int

    def to_sql(self) -> Sql:
        where = self.scope.where()
        text = (
            "SELECT error, sum(errors) AS total, min(first), max(last),"
            # the domains with most of it; names decide between equals, so that repeated answers agree
            " arrayMap(pair -> pair.2, arraySlice(arraySort(pair -> (-toInt128(pair.1), pair.2),"
            " groupArray((errors, domain))), 1, 5)),"
            f" {NEWEST}"
            " FROM (SELECT error, domain, sum(error_count) AS errors, min(bucket) AS first, max(bucket) AS last"
            f" FROM {WIDE} WHERE {where.text} AND error != '' GROUP BY error, domain)"
            " GROUP BY error ORDER BY total DESC, error LIMIT {limit:UInt32}"
        )
        return Sql(text, {**where.params, "limit": self.limit})


@dataclass(frozen=True, slots=True)
class Websites:
    """Rows ``(domain, requests, bytes, first bucket, last bucket, number of domains in all)``, most requests first."""

    scope: Scope
    page: int
    limit: int

    def to_sql(self) -> Sql:
        where = self.scope.where()
        text = (
            "SELECT domain, sum(count) AS requests, sum(bytes_sent) + sum(bytes_received),"
            " min(bucket), max(bucket), count() OVER () AS total,"
            f" {NEWEST} FROM {WIDE} WHERE {where.text} GROUP BY domain ORDER BY requests DESC, domain"
            " LIMIT {limit:UInt32} OFFSET {offset:UInt64}"
        )
        return Sql(text, {**where.params, "limit": self.limit, "offset": (self.page - 1) * self.limit})


@dataclass(frozen=True, slots=True)
class DomainCount:
    """One row: how many domains there are, for a page past the end, which has no row to say it."""

    scope: Scope

    def to_sql(self) -> Sql:
        where = self.scope.where()
        return Sql(f"SELECT uniqExact(domain), {NEWEST} FROM {WIDE} WHERE {where.text}", where.params)


@dataclass(frozen=True, slots=True)
class NewestBucket:
    """One row of the newest bucket alone, null when there is none: for an answer without rows."""

    scope: Scope

    def to_sql(self) -> Sql:
        return Sql(f"SELECT {NEWEST}", {"user_id": self.scope.user_id})
