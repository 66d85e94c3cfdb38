"""Rules for firing and rearming alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple

from fonproxy.timerange import EPOCH, GRAIN, floor
from orders.limits import Limits, Used, Windows
from usage.models import AlertKind, LimitName

MIN_WINDOW: Final = timedelta(minutes=15)
MIN_REQUESTS: Final = 100


class AlertTransition(Enum):
    FIRE = auto()
    REARM = auto()


class ReachedLimit(NamedTuple):
    """A proxy user's limit that has reached a percentage; ``resets_at`` is None for a total limit."""

    name: LimitName
    used: int
    limit: int
    began_at: datetime
    resets_at: datetime | None


class AlertState(NamedTuple):
    """An alert with its order's current period, limit in bytes (positive for kinds that need one) and end."""

    kind: str
    threshold: int
    is_armed: bool
    fired_period: int | None
    last_fired_at: datetime | None
    period: int
    limit: int | None
    expires_at: datetime | None


class Figures(NamedTuple):
    """Bytes used in the period; errors and requests in the window."""

    used: int = 0
    errors: int = 0
    requests: int = 0


def window_start(now: datetime) -> datetime:
    """The start of the window of error rates: the current bucket and all of the previous one, 15 to 30 minutes."""
    return floor(now - MIN_WINDOW, GRAIN)


def is_reached(alert: AlertState, figures: Figures, now: datetime) -> bool:
    """Whether the threshold is reached, without rounding: 79.999 % is below 80."""
    match AlertKind(alert.kind):
        case AlertKind.USAGE_PERCENT:
            return figures.used * 100 >= alert.threshold * (alert.limit or 0)
        case AlertKind.BYTES_LEFT:
            return (alert.limit or 0) - figures.used <= alert.threshold
        case AlertKind.EXPIRES_IN:
            return alert.expires_at is not None and alert.expires_at - now <= timedelta(days=alert.threshold)
        case AlertKind.ERROR_RATE:
            enough = figures.requests >= MIN_REQUESTS
            return enough and figures.errors * 100 >= alert.threshold * figures.requests
        case AlertKind.LOGIN_PERCENT:
            return False  # by ``reached_limits``, per proxy user


def reached_limits(limits: Limits, used: Used, windows: Windows, percent: int) -> Iterator[ReachedLimit]:
    """The limits of which a proxy user has used that percentage, without rounding."""
    starts = (windows.day, windows.month, EPOCH)
    ends = (windows.next_day, windows.next_month, None)
    for name, limit, size, start, end in zip(LimitName, limits, used, starts, ends, strict=True):
        if limit is not None and size * 100 >= percent * limit:
            yield ReachedLimit(name, size, limit, start, end)


def next_step(alert: AlertState, figures: Figures, now: datetime) -> AlertTransition | None:
    """FIRE at the threshold, once per period unless usage fell below it in between; REARM below it; else None.

    Error rates ignore periods. They are rearmed by a whole window below the threshold after the firing, so a rate that
    moves around the threshold fires at most once per window.
    """
    is_rate = alert.kind == AlertKind.ERROR_RATE
    if is_reached(alert, figures, now):
        is_new_period = not is_rate and alert.fired_period != alert.period
        return AlertTransition.FIRE if alert.is_armed or is_new_period else None
    if alert.is_armed or (is_rate and alert.last_fired_at is not None and window_start(now) < alert.last_fired_at):
        return None
    return AlertTransition.REARM
