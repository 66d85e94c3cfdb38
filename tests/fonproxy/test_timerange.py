"""Times as callers write them, the ranges they form and the points those are divided into."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.timerange import (
    DAY,
    GRAIN,
    BucketKey,
    Interval,
    InvalidTime,
    Range,
    TimeGrid,
    clock_length,
    days,
    earlier,
    local_stamp,
    next_month,
    parse_instant,
    parse_query_instant,
    parse_zone,
    year_before,
)
from tests.thoroughness import drawn, examples

READS = ("traffic", "requests", "concurrency", "domains", "errors", "websites")
QUARTERS_PER_DAY = 96
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-15", "2026-03-15T00:00:00Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        ("2026-03-15T10:15", "2026-03-15T10:15:00Z"),
        ("2026-03-15 10:15:30", "2026-03-15T10:15:30Z"),
        ("2026-03-15t10:15:30z", "2026-03-15T10:15:30Z"),
        ("2026-03-15T10:15:30.5", "2026-03-15T10:15:30.500000Z"),
        ("2026-03-15T10:15:30,25Z", "2026-03-15T10:15:30.250000Z"),
        ("2026-03-15T10:15:30.123456789", "2026-03-15T10:15:30.123456Z"),
        ("2026-03-15T10:15:30+05:45", "2026-03-15T04:30:30Z"),
        ("2026-03-15T10:15:30-0330", "2026-03-15T13:45:30Z"),
        ("2026-03-15T10:15:30+02", "2026-03-15T08:15:30Z"),
        ("2026-03-15T10:15:30-00:00", "2026-03-15T10:15:30Z"),
        ("20260315", "2026-03-15T00:00:00Z"),
        ("20260315T101530Z", "2026-03-15T10:15:30Z"),
        ("20260315T101530.5+0545", "2026-03-15T04:30:30.500000Z"),
        ("2026-W11-7", "2026-03-15T00:00:00Z"),
        ("2026W117T10", "2026-03-15T10:00:00Z"),
        ("2020-W53-5", "2021-01-01T00:00:00Z"),
        ("2026-03-15T10", "2026-03-15T10:00:00Z"),
        ("2026-03-15T10+02", "2026-03-15T08:00:00Z"),
        ("2026-03-15T1015", "2026-03-15T10:15:00Z"),
        ("2026-03-15T24:00", "2026-03-16T00:00:00Z"),
        ("2026-12-31T24:00:00.000Z", "2027-01-01T00:00:00Z"),
        ("2026-12-31T23:59:60Z", "2026-12-31T23:59:59Z"),
        ("2026-12-31T23:59:60.5Z", "2026-12-31T23:59:59.500000Z"),
        ("2026-12-31 23:59:60", "2026-12-31T23:59:59Z"),
        ("20270101T052960+0530", "2026-12-31T23:59:59Z"),
        ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
        ("2100-12-31T23:59:59.999999", "2100-12-31T23:59:59.999999Z"),
    ],
)
def test_iso_8601_is_read(text: str, instant: str) -> None:
    assert parse_instant(text).at == at(instant)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 2026-03-15",
        "2026-03-15 ",
        "2026-03-15\n",
        "yesterday",
        "2026",
        "2026-03",
        "2026031",
        "2026-0315",
        "202603-15",
        "2026-W11",
        "2026W11-7",
        "2026-w11-7",
        "2026-3-15",
        "2026-074",
        "2026074",
        "26-03-15",
        "10000-01-01",
        "+2026-03-15",
        "-2026-03-15",
        "1773569700",
        "15/03/2026",
        "\u0662\u0660\u0662\u0666-03-15",
        "2026\u201003\u201015",
        "2026-03-15T",
        "2026-03-15T10:15.5",
        "2026-03-15T10,5",
        "2026-03-15T101",
        "2026-03-15T10:15:30.",
        "2026-03-15T10:15:30.1234567890",
        "2026-03-15T10:15:30 05:45",
        "2026-03-15T10:15:30+5",
        "2026-03-15T10:15:30Europe/Berlin",
        "2026-03-15T10:15:30ZZ",
        "2026-03-15Z",
        "2026-03-15T10:15:30\0",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="Must be an ISO 8601"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-15T10:15:30 05:45", "2026-03-15T04:30:30Z"),
        ("2026-03-15 10:15:30.25 0200", "2026-03-15T08:15:30.250000Z"),
        ("2026-03-15T10:15 00:00", "2026-03-15T10:15:00Z"),
        ("20260315T101530 0200", "2026-03-15T08:15:30Z"),
        ("2026-03-15 10:15", "2026-03-15T10:15:00Z"),
        ("2026-03-15 1015", "2026-03-15T10:15:00Z"),
    ],
)
def test_an_unescaped_plus_of_a_query_is_an_offset(text: str, instant: str) -> None:
    assert parse_query_instant(text).at == at(instant)


@pytest.mark.parametrize("text", ["2026-03-15T10:15 30", "2026-03-15T10:15:30 05:45 ", "2026-03-15T10:15:30  05:45"])
def test_other_spaces_of_a_query_are_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="Must be an ISO 8601"):
        parse_query_instant(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30",
        "2026-02-29",
        "2026-00-10",
        "2026-13-01",
        "2026-01-00",
        "0000-01-01",
        "2026-W00-1",
        "2026-W54-1",
        "2021-W53-1",
        "2026-W11-0",
        "2026-W11-8",
        "2026-01-01T24:01",
        "2026-01-01T24:00:00.5",
        "9999-12-31T24:00Z",
        "2026-01-01T25:00",
        "2026-01-01T23:60",
        "2026-01-01T23:58:60",
        "2026-01-01T10:15:60Z",
        "2026-01-01T23:59:60+01:00",
        "2026-01-01T23:59:61",
        "2026-01-01T00:00+24:00",
        "2026-01-01T00:00+05:60",
        "2026-01-01T00:00-00:99",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
    ],
)
def test_a_day_or_time_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="There is no such date or time"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text", ["1999-12-31T23:59:59", "2101-01-01", "9999-12-31", "2000-01-01T00:00+00:01", "2100-12-31T23:59:59-00:01"]
)
def test_a_time_before_2000_or_after_2100_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="2000 to 2100"):
        parse_instant(text)


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2100, 12, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]),
)
def test_times_written_by_python_are_parsed(moment: datetime, minutes: int, precision: str) -> None:
    written = moment.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat(timespec=precision)
    assert parse_instant(written).at == at(written)


@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"))
@example("2026-03-15T10:15:30" + "+" * 10_000)
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        found = parse_instant(text)
    except InvalidTime:
        return
    assert found.at.tzinfo is UTC
    assert 2000 <= found.at.year <= 2100


@pytest.mark.parametrize(
    ("day", "before"),
    [("2026-11-30", "2025-11-30"), ("2028-02-29", "2027-03-01"), ("2029-02-28", "2028-02-28")],
)
def test_a_year_before_a_day_is_the_same_day_or_the_one_after_it(day: str, before: str) -> None:
    assert year_before(date.fromisoformat(day)) == date.fromisoformat(before)


@pytest.mark.parametrize("name", ["Mars/Base", "europe/berlin", "UTC+1", "", "../etc/passwd", "/etc/localtime", "\0"])
def test_a_zone_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(InvalidTime, match="IANA"):
        parse_zone(name)


def between(start: str, end: str) -> Range:
    return Range.between(parse_instant(start), parse_instant(end))


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-03-15", "2026-03-15", "2026-03-15T00:00Z", "2026-03-16T00:00Z"),
        ("2026-03-15", "2026-03-16", "2026-03-15T00:00Z", "2026-03-17T00:00Z"),
        ("2026-03-15T23:50", "2026-03-15", "2026-03-15T23:45Z", "2026-03-16T00:00Z"),
        ("2026-03-15", "2026-03-15T00:00:01", "2026-03-15T00:00Z", "2026-03-15T00:15Z"),
        ("2026-03-15T10:14:59.9", "2026-03-15T10:15:00", "2026-03-15T10:00Z", "2026-03-15T10:15Z"),
        ("2026-03-15T10:15", "2026-03-15T10:15:00.000001", "2026-03-15T10:15Z", "2026-03-15T10:30Z"),
        ("2026-03-15T10:15+05:45", "2026-03-15T10:16+05:45", "2026-03-15T04:30Z", "2026-03-15T04:45Z"),
        ("2100-12-31", "2100-12-31", "2100-12-31T00:00Z", "2101-01-01T00:00Z"),
    ],
)
def test_a_range_is_the_whole_buckets_it_touches(start: str, end: str, first: str, last: str) -> None:
    assert between(start, end) == Range(at(first), at(last))
    assert not between(start, end).is_empty


@pytest.mark.parametrize("moment", ["2026-03-15T10:15", "2026-03-15T10:16:07", "2026-03-15T10:15:00.5"])
def test_equal_times_are_an_empty_range(moment: str) -> None:
    assert between(moment, moment).is_empty
    assert between(moment, moment).length == timedelta(0)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-16", "2026-03-15"),
        ("2026-03-16T00:00", "2026-03-15"),
        ("2026-03-15T10:00:00.000001", "2026-03-15T10:00:00"),
        ("2026-03-15T10:00", "2026-03-15T10:00+00:01"),
    ],
)
def test_an_end_before_the_start_is_refused(start: str, end: str) -> None:
    with pytest.raises(InvalidTime, match="before the start"):
        between(start, end)


@pytest.fixture
def ask(client_for: Callable[..., APIClient], alice: User, engine: Any) -> Callable[..., Any]:
    client = client_for(alice)
    return lambda report, start, end, **more: client.get(f"/analytics/{report}", {"from": start, "to": end, **more})


@pytest.mark.parametrize("end", ["2026-07-02", "2026-07-02T00:00:00", "2026-07-01T19:00:00-05:00"])
def test_sixty_two_days_are_answered(ask: Callable[..., Any], end: str) -> None:
    assert ask("traffic", "2026-05-01", end).status_code == 200


@pytest.mark.parametrize("end", ["2026-07-03", "2026-07-02T00:00:01", "2026-07-02T00:00:00.000001"])
def test_more_than_sixty_two_days_are_refused(ask: Callable[..., Any], end: str) -> None:
    response = ask("traffic", "2026-05-01", end)
    assert response.status_code == 400
    assert response.json()["message"] == "analytics.range_too_long"
    assert [error["field"] for error in response.json()["errors"]] == ["to"]


@pytest.mark.parametrize("report", READS)
@pytest.mark.parametrize("moment", ["2026-03-15T10:15:00", "2026-03-15T10:16:07", "2026-03-15T10:15:00.5"])
def test_equal_times_are_answered_with_nothing(ask: Callable[..., Any], report: str, moment: str) -> None:
    response = ask(report, moment, moment, fill="true")
    assert response.status_code == 200
    assert response.json()["data"] == []


@pytest.mark.parametrize("report", READS)
@pytest.mark.parametrize(
    ("name", "value"), [("from", "2026-02-30"), ("to", "10000-01-01"), ("to", "2026-01-01"), ("tz", "Mars/Base")]
)
def test_a_bad_time_is_named(ask: Callable[..., Any], report: str, name: str, value: str) -> None:
    times = {"from": "2026-03-15", "to": "2026-03-16", "tz": "UTC", name: value}
    response = ask(report, times.pop("from"), times.pop("to"), **times)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [name]


zones = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    first = datetime(2020, 1, 1, tzinfo=UTC) + GRAIN * draw(st.integers(0, 11 * 365 * QUARTERS_PER_DAY))
    return Range(first, first + GRAIN * draw(st.integers(1, 62 * QUARTERS_PER_DAY)))


def edge_of(bucket: datetime, axis: TimeGrid, zone: ZoneInfo) -> BucketKey:
    """The edge that a bucket belongs to, by the zone's own reading of its start."""
    local = bucket.astimezone(zone)
    epoch = int(local.replace(tzinfo=UTC).timestamp())
    segment = 0
    if not axis.is_by_day:
        segment = next(n for n, s in enumerate(axis.segments) if s.start <= bucket.timestamp() < s.end)
    return BucketKey(segment, epoch // axis.interval.seconds * axis.interval.seconds)


@drawn
@settings(max_examples=examples(150), database=None)
@given(ranges(), st.sampled_from(Interval), zones)
def test_every_bucket_has_its_point_and_every_point_its_buckets(
    range_: Range, interval: Interval, zone: ZoneInfo
) -> None:
    axis = TimeGrid.over(range_, interval, zone)
    edges = axis.edges()
    grain = min(GRAIN, timedelta(seconds=interval.seconds))
    buckets = [range_.start + n * grain for n in range(range_.length // grain)]
    assert edges == sorted(set(edges))
    assert set(edges) == {edge_of(bucket, axis, zone) for bucket in buckets}


@drawn
@settings(max_examples=examples(150), database=None)
@given(ranges(), zones)
def test_segments_split_the_range_at_clock_changes(range_: Range, zone: ZoneInfo) -> None:
    segments = TimeGrid.over(range_, Interval.HOUR, zone).segments
    assert [segments[0].start, segments[-1].end] == [range_.start.timestamp(), range_.end.timestamp()]
    assert all(one.end == next_.start for one, next_ in pairwise(segments))
    assert all(one.offset != next_.offset for one, next_ in pairwise(segments))
    for n in range(range_.length // GRAIN):
        bucket = range_.start + n * GRAIN
        [segment] = [s for s in segments if s.start <= bucket.timestamp() < s.end]
        assert bucket.astimezone(zone).utcoffset() == timedelta(seconds=segment.offset)


@settings(max_examples=3, database=None)
@given(ranges())
def test_no_zone_breaks_a_chart(range_: Range) -> None:
    for name in available_timezones():
        axis = TimeGrid.over(range_, Interval.DAY, ZoneInfo(name))
        assert {segment.offset % GRAIN.seconds for segment in axis.segments} == {0}, name
        first, *_, last = [edge.label[:10] for edge in axis.edges()] * 2
        assert first == f"{range_.start.astimezone(ZoneInfo(name)):%Y-%m-%d}", name
        assert last == f"{(range_.end - GRAIN).astimezone(ZoneInfo(name)):%Y-%m-%d}", name


@pytest.mark.parametrize(
    ("length", "interval"),
    [
        (timedelta(0), Interval.FIFTEEN_MINUTES),
        (timedelta(days=2), Interval.FIFTEEN_MINUTES),
        (timedelta(days=2, seconds=1), Interval.HOUR),
        (timedelta(days=14), Interval.HOUR),
        (timedelta(days=14, seconds=1), Interval.DAY),
        (timedelta(days=62), Interval.DAY),
    ],
)
def test_the_default_interval_grows_with_the_range(length: timedelta, interval: Interval) -> None:
    assert Interval.for_range(length) is interval


def test_points_are_local_hours_and_days_even_when_clocks_go_back() -> None:
    """Two days in Berlin: in the second night the hour from 02:00 occurs twice."""
    range_ = days(date(2026, 10, 24), date(2026, 10, 25), BERLIN)
    by_hour = TimeGrid.over(range_, Interval.HOUR, BERLIN).edges()
    before, after = [*range(24), *range(3)], range(2, 24)
    assert [(edge.segment, int(edge.label[11:13])) for edge in by_hour] == [
        *((0, hour) for hour in before),
        *((1, hour) for hour in after),
    ]
    by_day = TimeGrid.over(range_, Interval.DAY, BERLIN).edges()
    assert [(edge.segment, edge.label) for edge in by_day] == [(0, "2026-10-24 00:00:00"), (0, "2026-10-25 00:00:00")]


def test_a_range_within_one_local_hour_has_that_hours_point() -> None:
    range_ = Range(at("2026-10-24T08:45Z"), at("2026-10-24T09:15Z"))
    kathmandu = TimeGrid.over(range_, Interval.HOUR, ZoneInfo("Asia/Kathmandu"))
    assert [edge.label for edge in kathmandu.edges()] == ["2026-10-24 14:00:00"]


def test_a_range_that_ends_where_clocks_change_has_no_point_after_it() -> None:
    """On Lord Howe Island clocks go back by half an hour, so the point would start in the middle of an hour."""
    range_ = Range(at("2026-04-04T13:00Z"), at("2026-04-04T15:00Z"))
    by_hour = TimeGrid.over(range_, Interval.HOUR, ZoneInfo("Australia/Lord_Howe"))
    assert [edge.label for edge in by_hour.edges()] == ["2026-04-05 00:00:00", "2026-04-05 01:00:00"]


def test_a_day_that_begins_twice_is_one_point() -> None:
    """Clocks in St John's went back at one minute past midnight until 2011."""
    range_ = Range.between(parse_instant("2010-11-06"), parse_instant("2010-11-08"))
    edges = TimeGrid.over(range_, Interval.DAY, parse_zone("America/St_Johns")).edges()
    assert edges == sorted(set(edges))


@pytest.mark.parametrize("name", ["localtime", "Factory", "posix/UTC", "", "../UTC"])
def test_a_name_that_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidTime):
        parse_zone(name)


@pytest.mark.parametrize(("day", "change"), [("2026-03-29", 1), ("2026-10-25", 1)])
def test_a_clock_change_is_found_at_its_quarter_wherever_the_range_begins(day: str, change: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    midnight = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    for minute in range(60):
        range_ = Range(midnight + timedelta(minutes=minute), midnight + timedelta(hours=change, minutes=5))
        axis = TimeGrid.over(range_, Interval.MINUTE, zone)
        assert [segment.end for segment in axis.segments[:-1]] == [int(midnight.timestamp()) + change * 3600]
        assert len(axis.edges()) == 65 - minute


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-15T12:00", datetime(2026, 1, 15, 11, tzinfo=UTC)),
        ("2026-01-15", datetime(2026, 1, 14, 23, tzinfo=UTC)),
        ("2026-01-15T12:00Z", datetime(2026, 1, 15, 12, tzinfo=UTC)),
        ("2026-01-15T12:00-05", datetime(2026, 1, 15, 17, tzinfo=UTC)),
    ],
)
def test_a_time_is_local_to_the_zone_unless_it_has_an_offset(text: str, at: datetime) -> None:
    assert parse_instant(text, ZoneInfo("Europe/Berlin")).at == at


def test_days_run_from_local_midnight_to_local_midnight() -> None:
    """In the night after the first day the clocks go forward."""
    assert days(date(2026, 3, 28), date(2026, 3, 29), BERLIN) == Range(at("2026-03-27T23:00Z"), at("2026-03-29T22:00Z"))


def test_the_clock_length_of_a_day_is_24_hours_even_when_clocks_change() -> None:
    start, end = at("2026-03-28T23:00Z"), at("2026-03-29T22:00Z")
    assert clock_length(start, end, BERLIN) == DAY
    assert earlier(end, DAY, BERLIN) == start


@pytest.mark.parametrize(
    ("day", "first"), [("2026-01-31", "2026-02-01"), ("2026-02-01", "2026-03-01"), ("2026-12-30", "2027-01-01")]
)
def test_the_next_month_begins_on_its_first_day(day: str, first: str) -> None:
    assert next_month(date.fromisoformat(day)) == date.fromisoformat(first)


def test_a_time_is_formatted_in_local_time() -> None:
    assert local_stamp(at("2026-03-29T22:00:05Z"), BERLIN) == "2026-03-30 00:00:05"


def test_an_interval_has_the_length_in_its_name() -> None:
    assert {each.value: each.seconds for each in Interval} == {"1m": 60, "15m": 900, "1h": 3600, "1d": 86400}


def test_the_days_of_a_century_are_put_in_order_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    range_ = Range(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    grid = TimeGrid.over(range_, Interval.DAY, ZoneInfo("Europe/London"))
    compared: list[BucketKey] = []
    is_less = BucketKey.__lt__

    def counted(one: BucketKey, other: BucketKey) -> bool:
        compared.append(one)
        return is_less(one, other)

    monkeypatch.setattr(BucketKey, "__lt__", counted)
    edges = grid.edges()
    assert edges[0].label == "2000-01-01 00:00:00"
    assert len(edges) == 36525
    assert len(compared) < 2 * len(edges)
