"""Limits per day, month and in total: whether they are reached, and until when that stops a login. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from fonproxy.timerange import EPOCH, midnight, next_month

FOREVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
AT_ONCE: Final = EPOCH


class Limits(NamedTuple):
    """Bytes of both directions; None is no limit."""

    day: int | None = None
    month: int | None = None
    total: int | None = None


class Used(NamedTuple):
    """Bytes of both directions, in the current day and month and in total."""

    day: int = 0
    month: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Windows:
    """The current day and month at an instant, in a zone."""

    day: datetime
    next_day: datetime
    month: datetime
    next_month: datetime

    @classmethod
    def at(cls, now: datetime, zone: ZoneInfo) -> Windows:
        today = now.astimezone(zone).date()
        first = today.replace(day=1)
        starts = (today, today + timedelta(days=1), first, next_month(today))
        return cls(*(midnight(day, zone) for day in starts))


def stopped_until(limits: Limits, used: Used, windows: Windows) -> datetime | None:
    """When the last of the reached limits resets; None if none is reached."""
    ends = (windows.next_day, windows.next_month, FOREVER)
    reached = [end for end, limit, size in zip(ends, limits, used, strict=True) if limit is not None and size >= limit]
    return max(reached, default=None)
