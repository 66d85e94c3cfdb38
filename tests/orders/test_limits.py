"""How long reached limits stop a login, compared with a scan of the zone's clock hour by hour."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from hypothesis import strategies as st

from orders.limits import FOREVER, Limits, Used, Windows, stopped_until
from tests.orders.test_periods import ZONES

QUARTER = timedelta(minutes=15)
sizes = st.integers(0, 3)
limits = st.builds(Limits, *[st.none() | st.integers(1, 3)] * 3)
used = st.builds(Used, sizes, sizes, sizes)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))


def next_change(now: datetime, zone: str, of: Callable[[datetime], object]) -> datetime:
    """The first quarter of an hour at which the zone's clock shows another day, or month."""
    at = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    shown = of(at.astimezone(ZoneInfo(zone)))
    while of(at.astimezone(ZoneInfo(zone))) == shown:
        at += QUARTER
    return at


@hypothesis.given(limits, used, instants, st.sampled_from(ZONES))
def test_a_login_is_stopped_until_the_last_reached_limit_resets(
    limits: Limits, used: Used, now: datetime, zone: str
) -> None:
    reached = [limit is not None and size >= limit for limit, size in zip(limits, used, strict=True)]
    expected = None
    if reached[0]:
        expected = next_change(now, zone, lambda at: at.date())
    if reached[1]:
        expected = next_change(now, zone, lambda at: (at.year, at.month))
    if reached[2]:
        expected = FOREVER
    assert stopped_until(limits, used, Windows.at(now, ZoneInfo(zone))) == expected


@pytest.mark.parametrize("zone", ZONES)
def test_the_running_day_and_month_hold_the_instant(zone: str) -> None:
    now = datetime(2026, 10, 31, 23, 50, tzinfo=UTC)
    windows = Windows.at(now, ZoneInfo(zone))
    assert windows.month <= windows.day <= now < windows.next_day <= windows.next_month
    local = now.astimezone(ZoneInfo(zone)).date()
    assert windows.month.astimezone(ZoneInfo(zone)).date() == local.replace(day=1)
    assert windows.day.astimezone(ZoneInfo(zone)).date() == local


def test_a_limit_is_not_reached_one_byte_below() -> None:
    windows = Windows.at(datetime(2026, 11, 30, tzinfo=UTC), ZoneInfo("UTC"))
    assert stopped_until(Limits(100, 200, 300), Used(99, 199, 299), windows) is None
    assert stopped_until(Limits(), Used(2**60, 2**60, 2**60), windows) is None


def test_limits_and_usage_default_to_none() -> None:
    assert Limits() == Limits(day=None, month=None, total=None)
    assert Used() == Used(day=0, month=0, total=0)
