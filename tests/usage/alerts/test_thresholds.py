"""When an alert fires and is armed again: the rule alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.alerts.thresholds import State, Step, is_reached, next_step


@pytest.mark.parametrize(
    ("used", "limit", "percent", "reached"),
    [
        (80, 100, 80, True),
        (79, 100, 80, False),
        (2**53 * 4 // 5, 2**53, 80, False),  # a byte's fraction below
        (2**53 * 4 // 5 + 1, 2**53, 80, True),
        (1, 3, 34, False),
        (1, 3, 33, True),
        (500, 100, 100, True),
        (0, 1, 1, False),
    ],
)
def test_a_threshold_is_reached_exactly(used: int, limit: int, percent: int, reached: bool) -> None:
    assert is_reached(used, limit, percent) is reached


def test_it_fires_once_a_period_and_again_after_falling_below() -> None:
    alert = State(80, is_armed=True, fired_period=None, period=1, limit=100)
    assert next_step(alert, 79) is None
    assert next_step(alert, 80) is Step.FIRE
    fired = State(80, is_armed=False, fired_period=1, period=1, limit=100)
    assert next_step(fired, 95) is None
    assert next_step(fired, 79) is Step.REARM
    assert next_step(State(80, is_armed=False, fired_period=1, period=2, limit=100), 85) is Step.FIRE
    assert next_step(State(80, is_armed=False, fired_period=1, period=2, limit=100), 5) is Step.REARM


@given(st.lists(st.integers(0, 200)), st.integers(1, 100))
def test_between_two_firings_usage_was_below(usage: list[int], percent: int) -> None:
    is_armed, fired = True, False
    was_below = True
    for used in usage:
        was_below |= not is_reached(used, 100, percent)
        step = next_step(State(percent, is_armed, 1 if fired else None, 1, 100), used)
        if step is Step.FIRE:
            assert was_below
            is_armed, fired, was_below = False, True, False
        elif step is Step.REARM:
            is_armed = True
