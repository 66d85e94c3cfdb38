"""Recurring periods: the instants at which an order renews automatically. Pure: times are passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import TextChoices

from fonproxy.timerange import midnight, next_month


class Every(TextChoices):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Boundary(NamedTuple):
    """The start of a period: the first instant of a day in the period's zone."""

    day: date
    at: datetime


@dataclass(frozen=True, slots=True)
class RecurringPeriod:
    """Boundaries are at the start of the day ``anchor`` and of every day, week or month after it.

    In a month without the anchor's day the boundary is on the last day. ``rollover`` keeps the remaining bytes.
    """

    every: Every
    anchor: date
    timezone: str = "UTC"
    rollover: bool = False

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def boundary(self, number: int) -> Boundary:
        """The boundary with that number; the anchor's is 0."""
        match self.every:
            case Every.DAY:
                day = self.anchor + timedelta(days=number)
            case Every.WEEK:
                day = self.anchor + timedelta(weeks=number)
            case Every.MONTH:
                day = months_after(self.anchor, number)
        return Boundary(day, midnight(day, self.zone))

    def next_after(self, at: datetime) -> Boundary:
        """The first boundary after that instant."""
        return next(boundary for boundary in self._from_around(at) if boundary.at > at)

    def last_until(self, at: datetime) -> Boundary | None:
        """The last boundary at or before that instant; None before the anchor."""
        found = None
        for boundary in self._from_around(at):
            if boundary.at > at:
                return found
            found = boundary
        return None

    def _from_around(self, at: datetime) -> Iterator[Boundary]:
        """Boundaries in order, starting at least one before that instant, or at the anchor."""
        today = at.astimezone(self.zone).date()
        match self.every:
            case Every.DAY:
                number = (today - self.anchor).days
            case Every.WEEK:
                number = (today - self.anchor).days // 7
            case Every.MONTH:
                number = (today.year - self.anchor.year) * 12 + today.month - self.anchor.month
        number = max(number - 2, 0)
        while True:
            yield self.boundary(number)
            number += 1


def months_after(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day if it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    first = date(year, month + 1, 1)
    last = next_month(first) - timedelta(days=1)
    return first.replace(day=min(day.day, last.day))
