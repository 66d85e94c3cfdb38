"""Instants, ranges, intervals and local bucket edges. Pure: the current time is passed in.

Bucket edges are computed here rather than in ClickHouse, so that charts, zero-filling and labels cannot disagree. A
local edge needs only the zone's offsets within the range: every UTC offset in use is a multiple of 15 minutes, so a
15-minute UTC bucket lies within one local hour and one local day.
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
# "Two calendar months, or 62 days, whichever is longer" is always 62 days.
MAX_RANGE: Final = timedelta(days=62)
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UTC_ZONE: Final = ZoneInfo("UTC")
STAMP: Final = "%Y-%m-%d %H:%M:%S"

# Calendar and week dates, each with or without its hyphens and colons. Only a second has a fraction.
_ISO: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-W[0-9]{2}-[0-9]|[0-9]{4}W[0-9]{3})"
    r"(?:[Tt ]([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r"(?:([Zz])|([+-][0-9]{2}):?([0-9]{2})?)?)?"
)
# A time followed by an offset whose plus was not written as %2B.
_UNESCAPED_PLUS: Final = re.compile(r"([Tt ][0-9][0-9:.,]*) ([0-9]{2}:?[0-9]{2})\Z")
LEAP_SECOND: Final = timedelta(hours=23, minutes=59, seconds=59)


class InvalidTime(ValueError):
    """An invalid time, zone or range; the text is a message for the caller."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A time as given: a date means its first instant as a start and the whole day as an end."""

    at: datetime
    is_date: bool
    zone: ZoneInfo = UTC_ZONE

    @property
    def end(self) -> datetime:
        """The exclusive end."""
        return midnight(self.at.astimezone(self.zone).date() + DAY, self.zone) if self.is_date else self.at


def parse_instant(text: str, zone: ZoneInfo = UTC_ZONE) -> Instant:
    """An ISO 8601 date or date-time, in ``zone`` unless it has an offset; raises InvalidTime.

    A leap second, 23:59:60 UTC, counts as the second before it, so that it stays in its day.
    """
    match = _ISO.fullmatch(text)
    if not match:
        raise InvalidTime(
            "Must be an ISO 8601 date or date-time, such as 2026-11-29 or 2026-11-29T22:05Z (write + as %2B in a URL)."
        )
    day, hour, minute, second, fraction, utc, hours, minutes = match.groups()
    is_leap_second = second == "60"
    clock = f"{hour or '00'}:{minute or '00'}:{'59' if is_leap_second else second or '00'}"
    is_end_of_day = clock == "24:00:00" and not int(fraction or 0)
    try:
        offset = f"{hours}:{minutes or '00'}" if hours else "+00:00" if utc else ""
        given = datetime.fromisoformat(f"{day}T{'00:00:00' if is_end_of_day else clock}{offset}")
        given += DAY if is_end_of_day else timedelta(0)
        at = (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidTime("There is no such date or time.") from None
    if int(minutes or 0) > 59 or (is_leap_second and at != midnight(at.date(), UTC_ZONE) + LEAP_SECOND):
        raise InvalidTime("There is no such date or time.")
    if not FIRST_YEAR <= (at if given.tzinfo else given).year <= LAST_YEAR:
        raise InvalidTime(f"Must lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
    return Instant(at.replace(microsecond=int((fraction or "0")[:6].ljust(6, "0"))), hour is None, zone)


def parse_query_instant(text: str, zone: ZoneInfo = UTC_ZONE) -> Instant:
    """The same from a query string, in which ``+`` means a space: 10:15:00 02:00 is 10:15:00+02:00."""
    return parse_instant(_UNESCAPED_PLUS.sub(r"\1+\2", text), zone)


def parse_zone(name: str) -> ZoneInfo:
    """An IANA time zone by its name; raises InvalidTime."""
    if name not in zone_names():
        raise InvalidTime("Must be an IANA time zone such as Europe/Berlin.")
    return ZoneInfo(name)


@cache
def zone_names() -> frozenset[str]:
    # Files on some machines that are not zones.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def zone_choices() -> list[tuple[str, str]]:
    """The zones for a form's field, UTC first."""
    return [(name, name) for name in sorted(zone_names(), key=lambda name: (name != "UTC", name))]


@dataclass(frozen=True, slots=True)
class Range:
    """``[start, end)`` in UTC, aligned to whole buckets of the stored grain."""

    start: datetime
    end: datetime

    @classmethod
    def between(cls, start: Instant, end: Instant, grain: timedelta = GRAIN) -> Range:
        """The whole buckets that overlap the given times; equal times are an empty range. Raises InvalidTime."""
        if end.end < start.at or (end.is_date and end.end == start.at):
            raise InvalidTime("The end is before the start.")
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
    """From the first instant of one day to the last of another, in the zone."""
    return Range(floor(midnight(first, zone), GRAIN), ceil(midnight(last + DAY, zone), GRAIN))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def clock_length(start: datetime, end: datetime, zone: ZoneInfo) -> timedelta:
    """The local time between two instants: a day is 24 hours even when clocks change."""
    return end.astimezone(zone).replace(tzinfo=None) - start.astimezone(zone).replace(tzinfo=None)


def earlier(at: datetime, by: timedelta, zone: ZoneInfo) -> datetime:
    """The instant that is earlier by that much local time."""
    return (at.astimezone(zone).replace(tzinfo=None) - by).replace(tzinfo=zone).astimezone(UTC)


def next_month(day: date) -> date:
    """The first day of the month after this one."""
    return (day.replace(day=1) + 32 * DAY).replace(day=1)


def year_before(day: date) -> date:
    """The same day a year earlier; of 29 February, 1 March."""
    is_leap_day = (day.month, day.day) == (2, 29)
    return date(day.year - 1, 3, 1) if is_leap_day else day.replace(year=day.year - 1)


def floor(at: datetime, grain: timedelta) -> datetime:
    return at - (at - EPOCH) % grain


def ceil(at: datetime, grain: timedelta) -> datetime:
    return at + (EPOCH - at) % grain


class Interval(Enum):
    """The width of a chart's points."""

    MINUTE = "1m"
    FIFTEEN_MINUTES = "15m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def seconds(self) -> int:
        return {"1m": 60, "15m": 900, "1h": 3600, "1d": 86400}[self.value]

    @classmethod
    def for_range(cls, length: timedelta) -> Interval:
        """The default: up to 2 days by 15 minutes, up to 14 days by hour, else by day."""
        if length <= timedelta(days=2):
            return cls.FIFTEEN_MINUTES
        return cls.HOUR if length <= timedelta(days=14) else cls.DAY


@dataclass(frozen=True, slots=True)
class OffsetSpan:
    """A span of UTC with one offset of the zone; all in seconds, ``start`` and ``end`` as epochs."""

    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True, order=True)
class BucketKey:
    """A point of a chart: local time at its start, in seconds as if it were UTC.

    ``segment`` distinguishes the two hours of one label when clocks go back. For days it is always 0, because a local
    day is one point however long it is.
    """

    segment: int
    local: int

    @property
    def label(self) -> str:
        """``YYYY-MM-DD HH:MM:SS`` in local time."""
        return (EPOCH + timedelta(seconds=self.local)).strftime(STAMP)


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """The points of a range in a zone."""

    interval: Interval
    segments: tuple[OffsetSpan, ...]

    @classmethod
    def over(cls, range_: Range, interval: Interval, zone: ZoneInfo) -> TimeGrid:
        return cls(interval, tuple(offset_spans(range_, zone)))

    @property
    def is_by_day(self) -> bool:
        return self.interval is Interval.DAY

    def edges(self) -> list[BucketKey]:
        """Every point of the range, in order."""
        width = self.interval.seconds
        edges: list[BucketKey] = []
        for number, segment in enumerate(self.segments):
            first = (segment.start + segment.offset) // width * width
            found = [
                BucketKey(0 if self.is_by_day else number, local)
                for local in range(first, segment.end + segment.offset, width)
            ]
            edges += found
        # Where clocks go back just after midnight, a day begins in one segment and again in the next. The edges are
        # nearly sorted, so this takes a single pass; sorting a set of a century's days would take fifteen.
        return sorted(dict.fromkeys(edges)) if self.is_by_day else edges


def offset_spans(range_: Range, zone: ZoneInfo) -> Iterator[OffsetSpan]:
    """Offset spans with a precision of 15 minutes: a bucket across a clock change has the offset of its start."""
    start = at = range_.start
    offset = at.astimezone(zone).utcoffset()
    while at < range_.end:
        step = min(at + DAY, range_.end) if zone is not UTC_ZONE else range_.end
        if step.astimezone(zone).utcoffset() == offset:
            at = step
            continue
        while at < range_.end and at.astimezone(zone).utcoffset() == offset:
            at = min(floor(at, GRAIN) + GRAIN, range_.end)
        yield _span(start, at, offset)
        start, offset = at, at.astimezone(zone).utcoffset()
    if start < range_.end:
        yield _span(start, range_.end, offset)


def _span(start: datetime, end: datetime, offset: timedelta | None) -> OffsetSpan:
    assert offset is not None  # a ZoneInfo always has one
    return OffsetSpan(_epoch(start), _epoch(end), int(offset.total_seconds()))


def local_stamp(at: datetime, zone: ZoneInfo) -> str:
    """``YYYY-MM-DD HH:MM:SS`` in the zone."""
    return at.astimezone(zone).strftime(STAMP)


def _epoch(at: datetime) -> int:
    return int(at.timestamp())
