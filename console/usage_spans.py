"""Ranges of days that staff choose, and the periods with which they are compared. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from fonproxy.timerange import DAY, GRAIN, Range, ceil, earlier, floor, midnight

MAX_DAYS: Final = 366


class SpanPreset(StrEnum):
    TODAY = "today"
    YESTERDAY = "yesterday"
    WEEK = "7d"
    DAYS_30 = "30d"
    MONTH = "month"
    LAST_MONTH = "last-month"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Span:
    """Whole local days, cut at the present, and the period to compare with.

    ``shift`` is the distance between the first days of the two periods.
    """

    range: Range
    previous: Range
    shift: timedelta
    zone: ZoneInfo


def days_of(preset: SpanPreset, today: date) -> tuple[date, date]:
    """The first and last day; raises ValueError for CUSTOM, which has its own days."""
    month = today.replace(day=1)
    match preset:
        case SpanPreset.TODAY:
            return today, today
        case SpanPreset.YESTERDAY:
            return today - DAY, today - DAY
        case SpanPreset.WEEK:
            return today - 6 * DAY, today
        case SpanPreset.DAYS_30:
            return today - 29 * DAY, today
        case SpanPreset.MONTH:
            return month, today
        case SpanPreset.LAST_MONTH:
            return (month - DAY).replace(day=1), month - DAY
        case SpanPreset.CUSTOM:
            raise ValueError("A custom range names its own days.")


def span_of(first: date, last: date, now: datetime, zone: ZoneInfo, *, by_month: bool = False) -> Span:
    """The days and as many before them; ``by_month`` compares a month, or its days so far, with the previous month.

    A running range is compared up to the same time of day.
    """
    start, midnight_after = midnight(first, zone), midnight(last + DAY, zone)
    end = min(midnight_after, ceil(now, GRAIN))
    before = (first - DAY).replace(day=1) if by_month else first - (last - first + DAY)
    shift = first - before
    is_whole_month = by_month and end == midnight_after and (last + DAY).day == 1
    # Months differ in length: compare with all of the previous month, and at most that.
    until = start if is_whole_month else min(earlier(end, shift, zone), start)
    return Span(_aligned(start, end), _aligned(midnight(before, zone), until), shift, zone)


def _aligned(start: datetime, end: datetime) -> Range:
    return Range(floor(start, GRAIN), ceil(max(start, end), GRAIN))
