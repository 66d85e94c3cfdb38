"""When an alert fires and is armed again: only the rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.alerts.thresholds import AlertState, AlertTransition, Figures, is_reached, next_step, window_start
from usage.models import AlertKind

NOW = datetime(2026, 11, 1, 12, 7, tzinfo=UTC)


def state(threshold: int, kind: str = AlertKind.USAGE_PERCENT, **changes: Any) -> AlertState:
    fields = {
        "is_armed": True,
        "fired_period": None,
        "last_fired_at": None,
        "period": 1,
        "limit": 100,
        "expires_at": None,
    }
    return AlertState(kind, threshold, **(fields | changes))


def step(alert: AlertState, used: int) -> AlertTransition | None:
    return next_step(alert, Figures(used), NOW)


@pytest.mark.parametrize(
    ("used", "limit", "percent", "reached"),
    [
        (80, 100, 80, True),
        (79, 100, 80, False),
        (2**53 * 4 // 5, 2**53, 80, False),  # a fraction of a byte below
        (2**53 * 4 // 5 + 1, 2**53, 80, True),
        (1, 3, 34, False),
        (1, 3, 33, True),
        (500, 100, 100, True),
        (0, 1, 1, False),
    ],
)
def test_a_threshold_is_reached_exactly(used: int, limit: int, percent: int, reached: bool) -> None:
    assert is_reached(state(percent, limit=limit), Figures(used), NOW) is reached


def test_it_fires_once_a_period_and_again_after_falling_below() -> None:
    assert step(state(80), 79) is None
    assert step(state(80), 80) is AlertTransition.FIRE
    fired = state(80, is_armed=False, fired_period=1)
    assert step(fired, 95) is None
    assert step(fired, 79) is AlertTransition.REARM
    assert step(fired._replace(period=2), 85) is AlertTransition.FIRE
    assert step(fired._replace(period=2), 5) is AlertTransition.REARM


def test_a_percentage_above_100_waits_for_an_overrun() -> None:
    assert step(state(120), 119) is None
    assert step(state(120), 120) is AlertTransition.FIRE


def test_a_bytes_left_threshold_is_reached_at_exactly_that_many_bytes() -> None:
    alert = state(30, AlertKind.BYTES_LEFT)
    assert step(alert, 69) is None
    assert step(alert, 70) is AlertTransition.FIRE
    assert step(alert, 500) is AlertTransition.FIRE
    assert step(alert._replace(is_armed=False, fired_period=1, limit=200), 70) is AlertTransition.REARM


def test_an_ending_threshold_is_reached_at_exactly_that_second() -> None:
    alert = state(3, AlertKind.EXPIRES_IN, limit=None, expires_at=NOW + timedelta(days=3))
    assert step(alert._replace(expires_at=NOW + timedelta(days=3, seconds=1)), 0) is None
    assert step(alert, 0) is AlertTransition.FIRE
    fired = alert._replace(is_armed=False, fired_period=1)
    assert step(fired, 0) is None
    assert step(fired._replace(expires_at=NOW + timedelta(days=30)), 0) is AlertTransition.REARM


def test_the_order_s_figures_do_not_fire_alerts_about_login_limits() -> None:
    assert step(state(80, AlertKind.LOGIN_PERCENT), 100) is None


@pytest.mark.parametrize(
    ("errors", "requests", "fires"),
    [(5, 100, True), (4, 100, False), (99, 99, False), (6, 121, False), (7, 140, True), (300, 200, True)],
)
def test_an_error_rate_needs_at_least_a_hundred_requests(errors: int, requests: int, fires: bool) -> None:
    alert = state(5, AlertKind.ERROR_RATE, limit=None)
    assert (next_step(alert, Figures(0, errors, requests), NOW) is AlertTransition.FIRE) is fires


def test_an_error_rate_rearms_after_a_whole_window_below_and_not_on_a_new_period() -> None:
    fired = state(5, AlertKind.ERROR_RATE, is_armed=False, fired_period=1, last_fired_at=NOW, period=2)
    assert next_step(fired, Figures(0, 50, 100), NOW) is None
    for quiet in (Figures(0, 0, 100), Figures()):
        assert next_step(fired, quiet, NOW + timedelta(minutes=22)) is None
        assert next_step(fired, quiet, NOW + timedelta(minutes=23)) is AlertTransition.REARM


def test_an_error_rate_that_fired_on_a_quarter_hour_rearms_on_the_window_that_starts_there() -> None:
    quarter = NOW.replace(minute=0)
    fired = state(5, AlertKind.ERROR_RATE, is_armed=False, last_fired_at=quarter)
    assert next_step(fired, Figures(), quarter + timedelta(minutes=15) - timedelta(microseconds=1)) is None
    assert next_step(fired, Figures(), quarter + timedelta(minutes=15)) is AlertTransition.REARM


def test_figures_default_to_zero() -> None:
    assert Figures() == Figures(used=0, errors=0, requests=0)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
def test_the_window_of_error_rates_is_at_least_fifteen_minutes(now: datetime) -> None:
    assert timedelta(minutes=15) <= now - window_start(now) < timedelta(minutes=30)


@given(st.lists(st.integers(0, 200)), st.integers(1, 100))
def test_usage_falls_below_the_threshold_between_two_firings(usage: list[int], percent: int) -> None:
    is_armed, fired = True, False
    was_below = True
    for used in usage:
        alert = state(percent, is_armed=is_armed, fired_period=1 if fired else None)
        was_below |= not is_reached(alert, Figures(used), NOW)
        found = step(alert, used)
        if found is AlertTransition.FIRE:
            assert was_below
            is_armed, fired, was_below = False, True, False
        elif found is AlertTransition.REARM:
            is_armed = True
