"""Which instants a named period covers, and how its bounds are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fonproxy.timerange import UTC_ZONE, Interval, Range, TimeGrid, days
from usage.periods import Granularity, UsagePeriod, bounds, label, range_of, stamp

BERLIN = ZoneInfo("Europe/Berlin")
# A Saturday in UTC, and already a Sunday, the first of the month, in Berlin.
NOW = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "zone", "start", "end"),
    [
        (UsagePeriod.TODAY, UTC_ZONE, "2026-02-28T00:00:00Z", "2026-02-28T23:59:59Z"),
        (UsagePeriod.WEEK, UTC_ZONE, "2026-02-23T00:00:00Z", "2026-03-01T23:59:59Z"),
        (UsagePeriod.MONTH, UTC_ZONE, "2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z"),
        (UsagePeriod.ALL, UTC_ZONE, "2026-02-28T00:00:00Z", "2026-02-28T23:59:59Z"),
        (UsagePeriod.TODAY, BERLIN, "2026-03-01T00:00:00+01:00", "2026-03-01T23:59:59+01:00"),
        (UsagePeriod.WEEK, BERLIN, "2026-02-23T00:00:00+01:00", "2026-03-01T23:59:59+01:00"),
        (UsagePeriod.MONTH, BERLIN, "2026-03-01T00:00:00+01:00", "2026-03-31T23:59:59+02:00"),
        (UsagePeriod.ALL, BERLIN, "2026-03-01T00:00:00+01:00", "2026-03-01T23:59:59+01:00"),
    ],
)
def test_a_period_is_a_whole_local_day_week_or_month(period: UsagePeriod, zone: ZoneInfo, start: str, end: str) -> None:
    assert bounds(range_of(period, NOW, zone, None), zone) == {"start": start, "end": end}


@pytest.mark.parametrize(("day", "monday"), [(1, "2026-06-01"), (7, "2026-06-01"), (8, "2026-06-08")])
def test_a_week_begins_on_the_monday_at_or_before_today(day: int, monday: str) -> None:
    week = range_of(UsagePeriod.WEEK, datetime(2026, 6, day, tzinfo=UTC), UTC_ZONE, None)
    assert (week.start.date().isoformat(), week.length.days) == (monday, 7)


def test_all_time_runs_from_the_first_row_to_the_end_of_today() -> None:
    first = datetime(2026, 1, 5, 10, 20, tzinfo=UTC)
    assert bounds(range_of(UsagePeriod.ALL, NOW, UTC_ZONE, first), UTC_ZONE) == {
        "start": "2026-01-05T10:15:00Z",
        "end": "2026-02-28T23:59:59Z",
    }


def test_an_empty_range_starts_and_ends_at_the_same_instant() -> None:
    assert bounds(Range(NOW, NOW), BERLIN) == {"start": "2026-03-01T00:30:00+01:00", "end": "2026-03-01T00:30:00+01:00"}


def test_an_instant_is_written_to_the_second_with_z_in_utc_alone() -> None:
    at = NOW + timedelta(seconds=5, microseconds=999_999)
    assert stamp(at, UTC_ZONE) == "2026-02-28T23:30:05Z"
    assert stamp(at, BERLIN) == "2026-03-01T00:30:05+01:00"
    assert stamp(at, ZoneInfo("Europe/London")) == "2026-02-28T23:30:05+00:00"


def labels(range_: Range, granularity: Granularity) -> list[str]:
    grid = TimeGrid.over(range_, granularity.interval, BERLIN)
    return [label(edge, grid, granularity, BERLIN) for edge in grid.edges()]


@pytest.mark.parametrize(
    ("granularity", "starts"),
    [
        (Granularity.DAILY, ["2026-10-31T00:00:00+01:00", "2026-11-01T00:00:00+01:00", "2026-11-02T00:00:00+01:00"]),
        (Granularity.WEEKLY, ["2026-10-26T00:00:00+01:00", "2026-10-26T00:00:00+01:00", "2026-11-02T00:00:00+01:00"]),
        (Granularity.MONTHLY, ["2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00", "2026-11-01T00:00:00+01:00"]),
    ],
)
def test_a_day_is_labelled_with_the_start_of_its_day_week_or_month(granularity: Granularity, starts: list[str]) -> None:
    """A Saturday, a Sunday and a Monday; the clocks went back on the Sunday before."""
    assert granularity.interval is Interval.DAY
    assert labels(days(date(2026, 10, 31), date(2026, 11, 2), BERLIN), granularity) == starts


def test_an_hour_is_labelled_with_its_start_and_the_offset_that_its_clock_had() -> None:
    night = Range(datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 3, tzinfo=UTC))
    assert labels(night, Granularity.HOURLY) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]
