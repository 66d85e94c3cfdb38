"""The days that staff choose and the periods with which they are compared."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from console.usage_spans import SpanPreset, days_of, span_of
from fonproxy.timerange import UTC_ZONE, Range

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = UTC_ZONE) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def between(start: str, end: str, zone: ZoneInfo = UTC_ZONE) -> Range:
    return Range(at(start, zone), at(end, zone))


@pytest.mark.parametrize(
    ("preset", "first", "last"),
    [
        (SpanPreset.TODAY, "2026-03-01", "2026-03-01"),
        (SpanPreset.YESTERDAY, "2026-02-28", "2026-02-28"),
        (SpanPreset.WEEK, "2026-02-23", "2026-03-01"),
        (SpanPreset.DAYS_30, "2026-01-31", "2026-03-01"),
        (SpanPreset.MONTH, "2026-03-01", "2026-03-01"),
        (SpanPreset.LAST_MONTH, "2026-02-01", "2026-02-28"),
    ],
)
def test_presets_are_whole_days(preset: SpanPreset, first: str, last: str) -> None:
    assert days_of(preset, date(2026, 3, 1)) == (date.fromisoformat(first), date.fromisoformat(last))


def test_past_days_are_compared_with_as_many_days_before() -> None:
    span = span_of(date(2026, 11, 8), date(2026, 11, 14), at("2026-11-30T12:00"), UTC_ZONE)
    assert span.range == between("2026-11-08", "2026-11-15")
    assert span.previous == between("2026-11-01", "2026-11-08")
    assert span.shift == timedelta(days=7)


def test_today_is_compared_up_to_the_same_time_of_day() -> None:
    span = span_of(date(2026, 11, 30), date(2026, 11, 30), at("2026-11-30T12:07"), UTC_ZONE)
    assert span.range == between("2026-11-30", "2026-11-30T12:15")
    assert span.previous == between("2026-11-29", "2026-11-29T12:15")


@pytest.mark.parametrize(
    ("day", "length"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)], ids=["forward", "backward"]
)
def test_a_day_of_a_clock_change_is_a_whole_day_in_its_zone(day: date, length: int) -> None:
    span = span_of(day, day, at("2026-11-30T12:00"), BERLIN)
    assert (span.range.length, span.previous.length) == (timedelta(hours=length), timedelta(hours=24))
    assert span.previous.end == span.range.start


def test_a_month_is_compared_with_the_whole_month_before() -> None:
    span = span_of(date(2026, 2, 1), date(2026, 2, 28), at("2026-03-15T12:00"), UTC_ZONE, by_month=True)
    assert span.previous == between("2026-01-01", "2026-02-01")
    assert span.shift == timedelta(days=31)


def test_a_month_so_far_is_compared_with_the_same_days_of_the_month_before() -> None:
    span = span_of(date(2026, 11, 1), date(2026, 11, 3), at("2026-11-03T06:00"), UTC_ZONE, by_month=True)
    assert span.range == between("2026-11-01", "2026-11-03T06:00")
    assert span.previous == between("2026-10-01", "2026-10-03T06:00")


def test_a_long_month_so_far_is_compared_with_no_more_than_the_short_one_before() -> None:
    span = span_of(date(2026, 3, 1), date(2026, 3, 30), at("2026-03-30T06:00"), UTC_ZONE, by_month=True)
    assert span.previous == between("2026-02-01", "2026-03-01")


def test_a_zone_with_a_quarter_hour_offset_begins_at_its_midnight() -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    span = span_of(date(2026, 11, 1), date(2026, 11, 1), at("2026-11-30T12:00"), kathmandu)
    assert span.range == between("2026-10-31T18:15", "2026-11-01T18:15")
