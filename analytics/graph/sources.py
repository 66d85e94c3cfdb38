"""Which table answers a question about an account's traffic. Pure: ages are passed in.

The finer a table, the sooner its rows go; the more it can be asked by, the larger it is. The cheapest one that still
holds the whole period, in points as fine as those asked for and by everything that is asked for, answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from fonproxy.timerange import DAY, GRAIN, UTC_ZONE, Axis, Interval, Range, ceil, floor

MINUTE: Final = timedelta(minutes=1)
# What the log does not hold.
LACKING: Final = "unlogged_traffic"


class Dimension(StrEnum):
    """What traffic can be filtered and grouped by."""

    ORDER = "order"
    NETWORK = "network"
    PROXY_USER = "proxy user"
    HOSTNAME = "host name"


class Width(StrEnum):
    """The intervals of a graph."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def interval(self) -> Interval:
        """What is asked of the engine; months are days put together."""
        return {Width.MINUTE: Interval.MINUTE, Width.HOUR: Interval.HOUR}.get(self, Interval.DAY)


@dataclass(frozen=True, slots=True)
class Source:
    """A table, its time column and the grain in which it is asked, its dimensions' columns, and two measures."""

    table: str
    time: str
    grain: timedelta
    columns: Mapping[Dimension, str]
    errors: str = "sum(error_count)"
    concurrency: str = "max(max_concurrency)"

    def can_filter(self, dimension: Dimension) -> bool:
        """An order is of one network for ever, so whoever knows orders knows networks."""
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
class Asked:
    """From when to when, in points of which width (None: all in one), filtered and grouped by what, on whose clock."""

    start: datetime
    end: datetime
    width: Width | None
    filters: frozenset[Dimension] = frozenset()
    grouped: frozenset[Dimension] = frozenset()
    zone: ZoneInfo = UTC_ZONE


def sources(asked: Asked, oldest: Callable[[str], datetime]) -> list[Source]:
    """The tables that can answer, the one to ask first; ``oldest`` tells since when a table is complete.

    A table whose rows lie across the period's ends would count what is not asked for: it is the last resort.
    """
    able = [source for source in SOURCES if _can_answer(source, asked) and _holds(source, asked.start, oldest)]
    return sorted(able, key=lambda source: not _is_exact(source, asked))


def _holds(source: Source, start: datetime, oldest: Callable[[str], datetime]) -> bool:
    """Whether all of the first point is there; and of the log, what tells whether it is complete."""
    guard = oldest(LACKING) <= floor(start, GRAIN) if source.is_log else True
    return guard and oldest(source.table) <= floor(start, source.grain)


def finest_kept(asked: Asked, oldest: Callable[[str], datetime]) -> Width | None:
    """The finest width in which the period is held, for whoever asked for a finer one; None when there is none."""
    coarser = iter(Width) if asked.width is None else _after(asked.width)
    return next((width for width in coarser if sources(replace(asked, width=width), oldest)), None)


def _after(width: Width) -> Iterator[Width]:
    widths = list(Width)
    return iter(widths[widths.index(width) + 1 :])


def _can_answer(source: Source, asked: Asked) -> bool:
    return (
        all(source.can_filter(dimension) for dimension in asked.filters)
        and all(dimension in source.columns for dimension in asked.grouped)
        and (asked.width is None or source.grain.total_seconds() <= asked.width.interval.seconds)
        and (source.grain < DAY or _has_days_of_utc(asked))
    )


def _has_days_of_utc(asked: Asked) -> bool:
    """Whether the zone's clock showed that of UTC all the time; a zone goes by many names."""
    if asked.zone == UTC_ZONE:
        return True
    if asked.start.astimezone(asked.zone).utcoffset():
        return False
    axis = Axis.over(Range(floor(asked.start, GRAIN), ceil(asked.end, GRAIN)), Interval.DAY, asked.zone)
    return all(segment.offset == 0 for segment in axis.segments)


def _is_exact(source: Source, asked: Asked) -> bool:
    """The usual grain counts as exact: every range is widened to it."""
    grain = max(source.grain, GRAIN)
    return source.grain <= GRAIN or (floor(asked.start, grain) == asked.start and ceil(asked.end, grain) == asked.end)
