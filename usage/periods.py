"""Ranges such as ``today`` and ``month``, and formats of times. Pure: now is passed in."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from fonproxy.timerange import DAY, EPOCH, GRAIN, BucketKey, Interval, Range, TimeGrid, days, floor, next_month

SECOND: Final = timedelta(seconds=1)


class UsagePeriod(StrEnum):
    TODAY = "today"
    WEEK = "week"
    MONTH = "month"
    ALL = "all"


class Granularity(StrEnum):
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    @property
    def interval(self) -> Interval:
        """The interval of the query; weeks and months are sums of days."""
        return Interval.HOUR if self is Granularity.HOURLY else Interval.DAY


def range_of(
    period: UsagePeriod, now: datetime, zone: ZoneInfo, first: datetime | None, newest: datetime | None = None
) -> Range:
    """The period that contains now, in the zone; ``all`` begins with the account's first row."""
    today = now.astimezone(zone).date()
    match period:
        case UsagePeriod.TODAY:
            return days(today, today, zone)
        case UsagePeriod.WEEK:
            monday = today - DAY * today.weekday()
            return days(monday, monday + 6 * DAY, zone)
        case UsagePeriod.MONTH:
            return days(today.replace(day=1), next_month(today) - DAY, zone)
        case UsagePeriod.ALL:
            last = max(today, newest.astimezone(zone).date()) if newest else today
            whole_days = days(today, last, zone)
            return whole_days if first is None else Range(floor(first, GRAIN), whole_days.end)


def day_of(at: datetime) -> datetime:
    """The first instant of its day in UTC."""
    return floor(at.astimezone(UTC), DAY)


def stamp(at: datetime, zone: ZoneInfo) -> str:
    """ISO 8601 to the second, with ``Z`` in UTC, else with the zone's offset."""
    return _written(at.astimezone(zone).replace(microsecond=0))


def _written(local: datetime) -> str:
    text = local.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") and str(local.tzinfo) == "UTC" else text


def bounds(range_: Range, zone: ZoneInfo) -> dict[str, str]:
    """``start`` and ``end``, which is the last second; both are the same instant for an empty range."""
    end = range_.end if range_.is_empty else range_.end - SECOND
    return {"start": stamp(range_.start, zone), "end": stamp(end, zone)}


def label(edge: BucketKey, axis: TimeGrid, granularity: Granularity, zone: ZoneInfo) -> str:
    """The start of the hour, day, week or month that contains this point of the grid."""
    local = EPOCH + timedelta(seconds=edge.local)
    if granularity is Granularity.HOURLY:
        offset = timedelta(seconds=axis.segments[edge.segment].offset)
        return stamp(local - offset, zone)
    day = local.date()
    if granularity is Granularity.WEEKLY:
        day -= DAY * day.weekday()
    elif granularity is Granularity.MONTHLY:
        day = day.replace(day=1)
    return _start_of(day, zone)


@lru_cache(maxsize=4096)  # runs of seven or thirty days share it
def _start_of(day: date, zone: ZoneInfo) -> str:
    return _written(datetime.combine(day, time(), zone))
