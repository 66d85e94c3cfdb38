"""The instants at which periods begin, compared with a calendar that is searched day by day."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from hypothesis import strategies as st

from orders.periods import Every, RecurringPeriod

DAY = timedelta(days=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "America/Havana", "Africa/Cairo",
         "Australia/Lord_Howe")  # fmt: skip

periods = st.builds(
    RecurringPeriod,
    st.sampled_from(Every),
    st.dates(date(2019, 1, 1), date(2026, 12, 31)),
    st.sampled_from(ZONES),
    st.booleans(),
)
instants = st.datetimes(datetime(2018, 6, 1), datetime(2029, 1, 1), timezones=st.just(UTC))


def days_of(period: RecurringPeriod) -> Iterator[date]:
    """The days on which periods begin, found by looking at every day of the calendar."""
    day = period.anchor
    while True:
        last_of_month = calendar.monthrange(day.year, day.month)[1]
        is_first = {
            Every.DAY: True,
            Every.WEEK: day.weekday() == period.anchor.weekday(),
            Every.MONTH: day.day == min(period.anchor.day, last_of_month),
        }
        if is_first[period.every]:
            yield day
        day += DAY


def first_instant(day: date, zone: str) -> datetime:
    """The first whole minute of the zone's day, found by trying minute after minute."""
    at = datetime.combine(day, time(), UTC) - timedelta(hours=16)
    while at.astimezone(ZoneInfo(zone)).date() < day:
        at += timedelta(minutes=1)
    return at


@hypothesis.given(periods)
def test_boundaries_follow_the_calendar(period: RecurringPeriod) -> None:
    expected = [(day, first_instant(day, period.timezone)) for day in islice(days_of(period), 14)]
    assert [tuple(period.boundary(number)) for number in range(14)] == expected


@hypothesis.given(periods, instants)
def test_an_instant_lies_between_the_last_boundary_and_the_next(period: RecurringPeriod, at: datetime) -> None:
    last, following = period.last_until(at), period.next_after(at)
    assert following.at > at
    if last is None:
        assert following == period.boundary(0)
    else:
        assert last.at <= at
        assert period.next_after(last.at) == following
        assert period.last_until(last.at) == last
    assert period.last_until(following.at) == following


@pytest.mark.parametrize(
    ("anchor", "days"),
    [
        (date(2027, 10, 31), ["2027-10-31", "2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]),
        (date(2026, 12, 30), ["2026-12-30", "2027-01-30", "2027-02-28", "2027-03-30", "2027-04-30", "2027-05-30"]),
        (date(2028, 2, 29), ["2028-02-29", "2028-03-29", "2028-04-29", "2028-05-29", "2028-06-29", "2028-07-29"]),
    ],
)
def test_in_a_month_without_the_day_the_period_begins_on_the_last_day(anchor: date, days: list[str]) -> None:
    period = RecurringPeriod(Every.MONTH, anchor)
    assert [period.boundary(number).day.isoformat() for number in range(6)] == days


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00+00:00"),
        ("Europe/Berlin", date(2026, 3, 30), "2026-03-29T22:00+00:00"),
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00+00:00"),  # the clock goes from 00:00 to 01:00
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00+00:00"),  # 00:00 to 01:00 occurs twice
        ("Asia/Kathmandu", date(2026, 11, 1), "2026-10-31T18:15+00:00"),
    ],
)
def test_a_day_begins_at_local_midnight(zone: str, day: date, instant: str) -> None:
    assert RecurringPeriod(Every.DAY, day, zone).boundary(0).at == datetime.fromisoformat(instant)


def test_a_day_that_a_zone_leaves_out_does_not_begin_a_period_twice() -> None:
    period = RecurringPeriod(Every.DAY, date(2011, 12, 28), "Pacific/Apia")  # after the 29th came the 31st
    at, found = datetime(2011, 12, 28, 9, 59, tzinfo=UTC), []
    for _ in range(4):
        at = period.next_after(at).at
        found.append(at.astimezone(ZoneInfo("Pacific/Apia")).date().day)
    assert found == [28, 29, 31, 1]


def test_a_period_defaults_to_utc_without_rollover() -> None:
    day = date(2026, 11, 1)
    assert RecurringPeriod(Every.DAY, day) == RecurringPeriod(Every.DAY, day, timezone="UTC", rollover=False)
