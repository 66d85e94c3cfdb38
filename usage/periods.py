"""Which instants ``today`` or ``month`` mean, and how points of time are written. Pure: now is passed in."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from fonproxy.timerange import DAY, EPOCH, GRAIN, Axis, Edge, Interval, Range, days, floor, next_month

SECOND: Final = timedelta(seconds=1)


class Period(StrEnum):
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
        """The interval that is asked of the engine; weeks and months are days put together."""
        return Interval.HOUR if self is Granularity.HOURLY else Interval.DAY


def range_of(period: Period, now: datetime, zone: ZoneInfo, first: datetime | None) -> Range:
    """The whole period that now lies in, on the zone's clock; ``all`` begins with the account's first row."""
    today = now.astimezone(zone).date()
    match period:
        case Period.TODAY:
            return days(today, today, zone)
        case Period.WEEK:
            monday = today - DAY * today.weekday()
            return days(monday, monday + 6 * DAY, zone)
        case Period.MONTH:
            return days(today.replace(day=1), next_month(today) - DAY, zone)
        case Period.ALL:
            whole_day = days(today, today, zone)
            return whole_day if first is None else Range(floor(first, GRAIN), whole_day.end)


def day_of(at: datetime) -> datetime:
    """The first instant of its day in UTC."""
    return floor(at.astimezone(UTC), DAY)


def stamp(at: datetime, zone: ZoneInfo) -> str:
    """ISO 8601 to the second, ``Z`` in UTC, else with the zone's offset."""
    return _written(at.astimezone(zone).replace(microsecond=0))


def _written(local: datetime) -> str:
    text = local.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") and str(local.tzinfo) == "UTC" else text


def bounds(range_: Range, zone: ZoneInfo) -> dict[str, str]:
    """``start`` and ``end``, the last second; of nothing, its one instant."""
    end = range_.end if range_.is_empty else range_.end - SECOND
    return {"start": stamp(range_.start, zone), "end": stamp(end, zone)}


def label(edge: Edge, axis: Axis, granularity: Granularity, zone: ZoneInfo) -> str:
    """The start of the hour, day, week or month that this point of the axis belongs to."""
    local = EPOCH + timedelta(seconds=edge.local)
    if granularity is Granularity.HOURLY:
        offset = timedelta(seconds=axis.segments[edge.segment].offset)
        return stamp(local - offset, zone)
    day = local.date()
    if granularity is Granularity.WEEKLY:
        day -= DAY * day.weekday()
    elif granularity is Granularity.MONTHLY:
        day = day.replace(day=1)
    return _written(datetime.combine(day, time(), zone))
