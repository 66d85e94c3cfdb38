"""Charts over the traffic tables, as SQL text and bound values. Pure: nothing is executed here.

Every chart has an account and a range. Charts without a domain read the small rollup per order; those with one read the
wide table. The last column is the account's newest bucket, which every response contains: one statement costs less than
two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fonproxy.clickhouse.query import Sql
from fonproxy.timerange import OffsetSpan, Range, TimeGrid

ROLLUP: Final = "order_traffic"
WIDE: Final = "traffic"


# Reads one row from the end of the account's key range.
NEWEST: Final = (
    f"(SELECT bucket FROM {ROLLUP} WHERE user_id = {{user_id:UInt64}} ORDER BY user_id DESC, bucket DESC LIMIT 1)"
)


class Metric(StrEnum):
    """Measures of a chart as SQL."""

    BYTES_SENT = "sum(bytes_sent)"
    BYTES_RECEIVED = "sum(bytes_received)"
    BYTES_TOTAL = "sum(bytes_sent) + sum(bytes_received)"
    COUNT = "sum(count)"
    ERRORS = "sum(error_count)"
    MAX_CONCURRENCY = "max(max_concurrency)"


@dataclass(frozen=True, slots=True)
class TrafficScope:
    """The account, range and filters of a query. ``range`` is aligned to whole buckets."""

    user_id: int
    range: Range
    order_id: int | None = None
    domain: str | None = None
    country: str | None = None
    proxy_user_id: int | None = None

    def where(self) -> Sql:
        conditions = [
            "user_id = {user_id:UInt64}",
            "bucket >= {start:DateTime('UTC')}",
            "bucket < {end:DateTime('UTC')}",
        ]
        params: dict[str, Any] = {"user_id": self.user_id, "start": self.range.start, "end": self.range.end}
        filters: dict[str, tuple[str, int | str | None]] = {
            "order_id": ("UInt64", self.order_id),
            "domain": ("String", self.domain),
            "country": ("String", self.country),
            "proxy_user_id": ("UInt64", self.proxy_user_id),
        }
        for column, (type_, value) in filters.items():
            if value is not None:
                conditions.append(f"{column} = {{{column}:{type_}}}")
                params[column] = value
        return Sql(" AND ".join(conditions), params)


def chart_table(scope: TrafficScope) -> str:
    """The smallest table that has every dimension of the scope's filters."""
    return ROLLUP if scope.domain is None and scope.proxy_user_id is None else WIDE


@dataclass(frozen=True, slots=True)
class Chart:
    """Rows ``(segment, local, *measures)`` by bucket_key_columns; see :class:`fonproxy.timerange.BucketKey`."""

    scope: TrafficScope
    axis: TimeGrid
    measures: tuple[Metric, ...]

    def to_sql(self) -> Sql:
        where = self.scope.where()
        text = (
            f"SELECT {bucket_key_columns(self.axis, 'toUnixTimestamp(bucket)')}, {', '.join(self.measures)}, {NEWEST}"
            f" FROM {chart_table(self.scope)} WHERE {where.text} GROUP BY segment, local ORDER BY segment, local"
        )
        return Sql(text, where.params)


def bucket_key_columns(axis: TimeGrid, epoch: str) -> str:
    """SQL for the columns of a :class:`fonproxy.timerange.BucketKey`; ``epoch`` is the expression of a row's time."""
    width = axis.interval.seconds
    number = "0" if axis.is_by_day else _by_segment(axis.segments, epoch, lambda i, _: i)
    offset = _by_segment(axis.segments, epoch, lambda _, segment: segment.offset)
    return f"{number} AS segment, intDiv(toInt64({epoch}) + {offset}, {width}) * {width} AS local"


def _by_segment(segments: tuple[OffsetSpan, ...], epoch: str, value: Callable[[int, OffsetSpan], int]) -> str:
    """SQL for a value that depends on the offset span of a row's time."""
    *earlier, last = list(enumerate(segments))
    if not earlier:
        return str(value(*last))
    cases = [f"{epoch} < {segment.end}, {value(i, segment)}" for i, segment in earlier]
    return f"multiIf({', '.join(cases)}, {value(*last)})"
