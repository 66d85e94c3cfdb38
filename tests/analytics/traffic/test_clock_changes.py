"""Points and their labels around the days on which clocks change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from fonproxy.timerange import Interval, Range, TimeGrid
from tests.analytics.helpers import push
from tests.analytics.traffic import model
from tests.analytics.traffic.model import QUARTER, ModelRow, Question
from tests.analytics.traffic.strategies import clock_changes, parameters

ZONES = ("Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "America/New_York")
WIDTHS = {"15m": "INTERVAL 15 MINUTE", "1h": "INTERVAL 1 HOUR", "1d": "INTERVAL 1 DAY"}
# On the day of a change to or at a fraction of an hour, the engine cuts hours by the time since midnight.
CUT_OTHERWISE = ("Australia/Lord_Howe", "Pacific/Chatham")


def labels(zone: str, first: str, last: str, interval: Interval) -> list[str]:
    """The labels of the points between two local times, the second at its later occurrence."""
    tz = ZoneInfo(zone)
    start = datetime.fromisoformat(first).replace(tzinfo=tz).astimezone(UTC)
    end = datetime.fromisoformat(last).replace(tzinfo=tz, fold=1).astimezone(UTC)
    return [edge.label[11:16] for edge in TimeGrid.over(Range(start, end), interval, tz).edges()]


def test_the_hour_that_new_york_skips_has_no_point() -> None:
    assert labels("America/New_York", "2026-03-08T01:00", "2026-03-08T04:00", Interval.HOUR) == ["01:00", "03:00"]


def test_the_hour_that_new_york_repeats_has_two_points() -> None:
    got = labels("America/New_York", "2026-11-01T00:00", "2026-11-01T03:00", Interval.HOUR)
    assert got == ["00:00", "01:00", "01:00", "02:00"]


def test_the_half_hour_that_lord_howe_skips_has_no_points() -> None:
    got = labels("Australia/Lord_Howe", "2026-10-04T01:30", "2026-10-04T03:00", Interval.FIFTEEN_MINUTES)
    assert got == ["01:30", "01:45", "02:30", "02:45"]


def test_the_half_hour_that_lord_howe_repeats_has_its_quarters_twice() -> None:
    got = labels("Australia/Lord_Howe", "2026-04-05T01:15", "2026-04-05T02:00", Interval.FIFTEEN_MINUTES)
    assert got == ["01:15", "01:30", "01:45", "01:30", "01:45"]


def test_chatham_changes_at_a_quarter_to() -> None:
    back = labels("Pacific/Chatham", "2026-04-05T03:15", "2026-04-05T03:30", Interval.FIFTEEN_MINUTES)
    assert back == ["03:15", "03:30", "02:45", "03:00", "03:15"]
    forward = labels("Pacific/Chatham", "2026-09-27T02:15", "2026-09-27T04:15", Interval.FIFTEEN_MINUTES)
    assert forward == ["02:15", "02:30", "03:45", "04:00"]


def test_an_hour_in_kathmandu_starts_at_a_quarter_past_in_utc() -> None:
    tz = ZoneInfo("Asia/Kathmandu")
    hour = Range(datetime(2026, 6, 1, 0, 0, tzinfo=UTC), datetime(2026, 6, 1, 1, 0, tzinfo=UTC))
    assert [edge.label for edge in TimeGrid.over(hour, Interval.HOUR, tz).edges()] == [
        "2026-06-01 05:00:00",
        "2026-06-01 06:00:00",
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_the_day_of_a_change_is_one_point_however_long(zone: str) -> None:
    year = Range(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    got = [edge.label for edge in TimeGrid.over(year, Interval.DAY, ZoneInfo(zone)).edges()]
    first = year.start.astimezone(ZoneInfo(zone)).date()
    last = (year.end - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).date()
    assert got == [f"{first + timedelta(days=n)} 00:00:00" for n in range((last - first).days + 1)]


def stretches(zone: str) -> list[tuple[datetime, datetime]]:
    """A day and a half around each change of the last year, or around noon of a week ago where clocks never change."""
    now = datetime.now(UTC)
    week_ago = datetime.combine(now.date() - timedelta(days=7), time(12), UTC)
    changes = clock_changes(zone, now - timedelta(days=380), now - timedelta(days=2)) or [week_ago]
    return [(at - timedelta(hours=18), at + timedelta(hours=18)) for at in changes]


def around_changes() -> Iterator[tuple[str, tuple[datetime, datetime], str]]:
    return ((zone, stretch, interval) for zone in ZONES for stretch in stretches(zone) for interval in WIDTHS)


Pushed = tuple[list[ModelRow], Callable[[Question], Any]]


@pytest.fixture
def pushed(clean_engine: Client, alice: User, client_for: Callable[..., APIClient], staff: User) -> Pushed:
    """A row in every bucket around the changes of every zone, each with another count, and how to query them."""
    buckets = {
        start + k * QUARTER for zone in ZONES for start, end in stretches(zone) for k in range((end - start) // QUARTER)
    }
    rows = [
        ModelRow(alice.pk, 1, at, domain="a.example", count=i, sent=i * i)
        for i, at in enumerate(sorted(buckets), start=1)
    ]
    sent = [
        {
            "ts": row.ts.isoformat(),
            "user_id": row.user,
            "order_id": row.order,
            "domain": row.domain,
            "count": row.count,
            "bytes_sent": row.sent,
        }
        for row in rows
    ]
    assert push(client_for(staff), sent).status_code == 204
    client = client_for(alice)
    return rows, lambda question: client.get("/analytics/traffic", parameters(question)).json()


@pytest.mark.parametrize("domain", [None, "a.example"])
def test_charts_around_recent_clock_changes_agree_with_zoneinfo(
    domain: str | None, pushed: Pushed, alice: User
) -> None:
    rows, ask = pushed
    for zone, (start, end), interval in around_changes():
        question = Question("traffic", alice.pk, start, end, zone, domain=domain, interval=interval, fill=True)
        answer = ask(question)
        assert answer == model.answer(rows, question, now=datetime.now(UTC)), question
        assert sum(int(point["total_count"]) for point in answer["data"]) == sum(
            row.count for row in rows if start <= row.ts < end
        )


def test_charts_around_recent_clock_changes_agree_with_clickhouse(pushed: Pushed, alice: User, engine: Client) -> None:
    _, ask = pushed
    for zone, (start, end), interval in around_changes():
        points: Counter[str] = Counter()  # an hour that comes twice has one label
        for point in ask(Question("traffic", alice.pk, start, end, zone, interval=interval))["data"]:
            points[point["bucket"]] += int(point["total_count"])
        if interval != "1h" or zone not in CUT_OTHERWISE:
            assert points == engines_own(engine, start, end, zone, interval), (zone, start, interval)


def engines_own(engine: Client, start: datetime, end: datetime, zone: str, interval: str) -> dict[str, int]:
    cut = f"toStartOfInterval(bucket, {WIDTHS[interval]}, '{zone}')"
    if interval == "1d":
        cut = f"toStartOfDay(bucket, '{zone}')"
    label = f"formatDateTime({cut}, '%Y-%m-%d %H:%i:%S', '{zone}')"
    where = "bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}"
    sql = f"SELECT {label} AS label, sum(count) FROM traffic WHERE {where} GROUP BY label"
    return dict(engine.fetch(sql, {"start": start, "end": end}, tag="tests"))


def test_a_date_is_a_day_in_the_requested_zone(pushed: Pushed, alice: User) -> None:
    _, ask = pushed
    day: date = stretches("Asia/Kathmandu")[0][1].date() - timedelta(days=1)
    points = ask(Question("traffic", alice.pk, day, day, "Asia/Kathmandu", interval="1d", fill=True))["data"]
    assert [point["bucket"] for point in points] == [f"{day} 00:00:00"]
