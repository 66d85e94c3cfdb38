"""When an alert fires and when it is armed again. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Step(Enum):
    FIRE = auto()
    REARM = auto()


class State(NamedTuple):
    """An alert with what is known of its order; bytes are of the current period, ``limit`` is positive."""

    threshold_percent: int
    is_armed: bool
    fired_period: int | None
    period: int
    limit: int


def is_reached(used: int, limit: int, percent: int) -> bool:
    """Exact: 80 % is reached at 80, not at 79.999."""
    return used * 100 >= percent * limit


def next_step(alert: State, used: int) -> Step | None:
    """Fires at its threshold, once in a period unless the order has fallen below it in between."""
    if is_reached(used, alert.limit, alert.threshold_percent):
        return Step.FIRE if alert.is_armed or alert.fired_period != alert.period else None
    return None if alert.is_armed else Step.REARM
