"""Instants, ranges, intervals and their local edges. Pure: nothing here knows the current time.

Bucket edges are computed here rather than in ClickHouse, so that charts, zero-filling and labels cannot disagree.
A local edge needs no more than the zone's offsets within the range: every UTC offset in use is a multiple of 15
minutes, so a 15-minute UTC bucket lies wholly inside one local hour and one local day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

DAY: Final = timedelta(days=1)
GRAIN: Final = timedelta(minutes=15)
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UTC_ZONE: Final = ZoneInfo("UTC")
STAMP: Final = "%Y-%m-%d %H:%M:%S"

_ISO: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,]([0-9]{1,9}))?(?:([Zz])|([+-][0-9]{2}):?([0-9]{2})?)?)?"
)


class InvalidTime(ValueError):
    """A time, zone or range that cannot be used; the text is a sentence for the caller."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A time as given: a date stands for its first instant as a start and for the whole day as an end."""

    at: datetime
    is_date: bool

    @property
    def end(self) -> datetime:
        """The exclusive end that this means."""
        return self.at + timedelta(days=1) if self.is_date else self.at


def parse_instant(text: str) -> Instant:
    """An ISO 8601 date or date-time, without a zone in UTC; raises InvalidTime."""
    match = _ISO.fullmatch(text)
    if not match:
        raise InvalidTime("Must be an ISO 8601 date or date-time (write + as %2B in a URL).")
    day, time, fraction, _, hours, minutes = match.groups()
    try:
        offset = f"{hours}:{minutes or '00'}" if hours else "+00:00"
        at = datetime.fromisoformat(f"{day}T{time or '00:00'}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidTime("There is no such date or time.") from None
    if int(minutes or 0) > 59:
        raise InvalidTime("There is no such date or time.")
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise InvalidTime(f"Must lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
    return Instant(at.replace(microsecond=int((fraction or "0")[:6].ljust(6, "0"))), is_date=time is None)


def parse_zone(name: str) -> ZoneInfo:
    """An IANA time zone by its name; raises InvalidTime."""
    if name not in _zone_names():
        raise InvalidTime("Must be an IANA time zone such as Europe/Berlin.")
    return ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    # These two are files on some machines, and no zones.
    return frozenset(available_timezones() - {"localtime", "Factory"})


@dataclass(frozen=True, slots=True)
class Range:
    """``[start, end)`` in UTC, on whole buckets of the stored grain."""

    start: datetime
    end: datetime

    @classmethod
    def between(cls, start: Instant, end: Instant, grain: timedelta = GRAIN) -> Range:
        """The whole buckets that the given times touch; equal times are an empty range. Raises InvalidTime."""
        if end.end < start.at or (end.is_date and end.end == start.at):
            raise InvalidTime("The end lies before the start.")
        if end.end == start.at:
            return cls(start.at, start.at)
        return cls(floor(start.at, grain), ceil(end.end, grain))

    @property
    def is_empty(self) -> bool:
        return self.start >= self.end

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def days(first: date, last: date, zone: ZoneInfo) -> Range:
    """From the first instant of one day to the last of another, on the zone's clock."""
    return Range(floor(midnight(first, zone), GRAIN), ceil(midnight(last + DAY, zone), GRAIN))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def next_month(day: date) -> date:
    """The first day of the month after this one."""
    return (day.replace(day=1) + 32 * DAY).replace(day=1)


def floor(at: datetime, grain: timedelta) -> datetime:
    return at - (at - EPOCH) % grain


def ceil(at: datetime, grain: timedelta) -> datetime:
    return at + (EPOCH - at) % grain


class Interval(Enum):
    """The width of a chart's points."""

    MINUTE = "1m"
    QUARTER = "15m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def seconds(self) -> int:
        return {"1m": 60, "15m": 900, "1h": 3600, "1d": 86400}[self.value]

    @classmethod
    def for_range(cls, length: timedelta) -> Interval:
        """The default: up to 2 days by 15 minutes, up to 14 days by hour, else by day."""
        if length <= timedelta(days=2):
            return cls.QUARTER
        return cls.HOUR if length <= timedelta(days=14) else cls.DAY


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of UTC in which the zone keeps one offset; all in seconds, ``start`` and ``end`` as epochs."""

    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A point of a chart: the local clock's reading at its start, in seconds as if that clock were UTC.

    ``segment`` tells apart the two hours that read the same when clocks go back. Days are never told apart: a local
    day is one point however long it is, so its segment is always 0.
    """

    segment: int
    local: int

    @property
    def label(self) -> str:
        """``YYYY-MM-DD HH:MM:SS`` on the local clock."""
        return (EPOCH + timedelta(seconds=self.local)).strftime(STAMP)


@dataclass(frozen=True, slots=True)
class Axis:
    """How a range is cut into points."""

    interval: Interval
    segments: tuple[Segment, ...]

    @classmethod
    def over(cls, range_: Range, interval: Interval, zone: ZoneInfo) -> Axis:
        return cls(interval, tuple(_segments(range_, zone)))

    @property
    def is_by_day(self) -> bool:
        return self.interval is Interval.DAY

    def edges(self) -> list[Edge]:
        """Every point of the range, in order."""
        width = self.interval.seconds
        edges: list[Edge] = []
        for number, segment in enumerate(self.segments):
            first = (segment.start + segment.offset) // width * width
            found = [
                Edge(0 if self.is_by_day else number, local)
                for local in range(first, segment.end + segment.offset, width)
            ]
            edges += found
        # Where clocks go back from just after midnight, a day begins in one segment and again in the next.
        return sorted(set(edges)) if self.is_by_day else edges


def _segments(range_: Range, zone: ZoneInfo) -> Iterator[Segment]:
    """Clock changes are found to the quarter of an hour: a bucket that one cuts in two has the offset of its start."""
    start = at = range_.start
    offset = _utc_offset(at, zone)
    while at < range_.end:
        step = min(at + timedelta(days=1), range_.end)
        if _utc_offset(step, zone) == offset:
            at = step
            continue
        while at < range_.end and _utc_offset(at, zone) == offset:
            at = min(floor(at, GRAIN) + GRAIN, range_.end)
        yield Segment(_epoch(start), _epoch(at), offset)
        start, offset = at, _utc_offset(at, zone)
    if start < range_.end:
        yield Segment(_epoch(start), _epoch(range_.end), offset)


def local_stamp(at: datetime, zone: ZoneInfo) -> str:
    """``YYYY-MM-DD HH:MM:SS`` on the zone's clock."""
    return at.astimezone(zone).strftime(STAMP)


def _utc_offset(at: datetime, zone: ZoneInfo) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return int(offset.total_seconds())


def _epoch(at: datetime) -> int:
    return int(at.timestamp())
