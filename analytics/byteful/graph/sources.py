"""Chooses the table that answers a graph or breakdown. Pure: ages are passed in.

Fine-grained tables keep rows for a shorter time; tables with more dimensions are larger. The cheapest table is chosen
that still covers the whole period, at the requested interval, with the requested dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from fonproxy.timerange import DAY, GRAIN, UTC_ZONE, Interval, Range, ceil, floor, offset_spans

MINUTE: Final = timedelta(minutes=1)
# Traffic that is not in the log.
LACKING: Final = "unlogged_traffic"


class Dimension(StrEnum):
    """Dimensions by which traffic can be filtered and grouped."""

    ORDER = "order"
    NETWORK = "network"
    PROXY_USER = "proxy user"
    HOSTNAME = "host name"


class GraphInterval(StrEnum):
    """The intervals of a graph."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def interval(self) -> Interval:
        """The interval of the query; months are sums of days."""
        return {GraphInterval.MINUTE: Interval.MINUTE, GraphInterval.HOUR: Interval.HOUR}.get(self, Interval.DAY)


@dataclass(frozen=True, slots=True)
class Source:
    """A table with its time column, grain, dimension columns and two measures."""

    table: str
    time: str
    grain: timedelta
    columns: Mapping[Dimension, str]
    errors: str = "sum(error_count)"
    concurrency: str = "max(max_concurrency)"

    def can_filter(self, dimension: Dimension) -> bool:
        """Also true for networks if the table has orders: an order never changes its network."""
        return dimension in self.columns or (dimension is Dimension.NETWORK and Dimension.ORDER in self.columns)

    @property
    def is_log(self) -> bool:
        return self.table == "requests"


_BY_ORDER: Final = {Dimension.ORDER: "order_id"}
_BY_PROXY_USER: Final = {Dimension.NETWORK: "network", Dimension.PROXY_USER: "proxy_user_id"}
# The cheapest first.
SOURCES: Final = (
    Source("daily_network", "day", DAY, _BY_PROXY_USER),
    Source("order_traffic", "bucket", GRAIN, _BY_ORDER),
    Source("minute_traffic", "minute", MINUTE, _BY_ORDER),
    Source("daily_host", "day", DAY, {**_BY_PROXY_USER, Dimension.HOSTNAME: "hostname"}),
    Source("traffic", "bucket", GRAIN, {**_BY_ORDER, **_BY_PROXY_USER, Dimension.HOSTNAME: "domain"}),
    Source(
        "requests",
        "ts",
        MINUTE,
        {**_BY_ORDER, **_BY_PROXY_USER, Dimension.HOSTNAME: "hostname"},
        errors="countIf(error != '')",
        concurrency="max(concurrency)",
    ),
)


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """Period, width of points (None: one point), filters, grouping and zone of a request."""

    start: datetime
    end: datetime
    width: GraphInterval | None
    filters: frozenset[Dimension] = frozenset()
    grouped: frozenset[Dimension] = frozenset()
    zone: ZoneInfo = UTC_ZONE


def sources(asked: GraphRequest, oldest: Callable[[str], datetime]) -> list[Source]:
    """The tables that can answer, best first; ``oldest`` returns the time since which a table is complete.

    Tables whose rows cross the ends of the period come last, because they count traffic outside of it.
    """
    able = [source for source in SOURCES if _can_answer(source, asked) and _holds(source, asked.start, oldest)]
    return sorted(able, key=lambda source: not _is_exact(source, asked))


def _holds(source: Source, start: datetime, oldest: Callable[[str], datetime]) -> bool:
    """Whether the table still covers all of the first point; for the log, also whether its completeness is known."""
    guard = oldest(LACKING) <= floor(start, GRAIN) if source.is_log else True
    return guard and oldest(source.table) <= floor(start, source.grain)


def finest_kept(asked: GraphRequest, oldest: Callable[[str], datetime]) -> GraphInterval | None:
    """The finest width coarser than requested for which a table covers the period; None if there is none."""
    coarser = iter(GraphInterval) if asked.width is None else _after(asked.width)
    return next((width for width in coarser if sources(replace(asked, width=width), oldest)), None)


def _after(width: GraphInterval) -> Iterator[GraphInterval]:
    widths = list(GraphInterval)
    return iter(widths[widths.index(width) + 1 :])


def _can_answer(source: Source, asked: GraphRequest) -> bool:
    return (
        all(source.can_filter(dimension) for dimension in asked.filters)
        and all(dimension in source.columns for dimension in asked.grouped)
        and (asked.width is None or source.grain.total_seconds() <= asked.width.interval.seconds)
        and (source.grain < DAY or _has_days_of_utc(asked))
    )


def _has_days_of_utc(asked: GraphRequest) -> bool:
    """Whether the zone's offset is zero throughout the period; UTC has many names."""
    return asked.zone == UTC_ZONE or _is_utc_throughout(asked.start, asked.end, asked.zone)


@lru_cache(maxsize=128)  # needed for several tables, and slow for a century
def _is_utc_throughout(start: datetime, end: datetime, zone: ZoneInfo) -> bool:
    range_ = Range(floor(start, GRAIN), ceil(end, GRAIN))
    return not start.astimezone(zone).utcoffset() and all(span.offset == 0 for span in offset_spans(range_, zone))


def _is_exact(source: Source, asked: GraphRequest) -> bool:
    """Whether the period is a multiple of the source's grain; 15 minutes always are, because all ranges are."""
    grain = max(source.grain, GRAIN)
    return source.grain <= GRAIN or (floor(asked.start, grain) == asked.start and ceil(asked.end, grain) == asked.end)
