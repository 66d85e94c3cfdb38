"""Explains to staff why an alert will fire or has not fired."""

from __future__ import annotations

from datetime import datetime

from analytics import reports
from fonproxy.clickhouse.errors import EngineError
from fonproxy.units import gigabytes
from usage.alerts import login_limits
from usage.alerts.evaluation import targets_of
from usage.alerts.services import lacks
from usage.alerts.thresholds import (
    MIN_REQUESTS,
    AlertState,
    AlertTransition,
    Figures,
    is_reached,
    next_step,
    window_start,
)
from usage.models import Alert, AlertKind


def explain(alert: Alert, now: datetime) -> str:
    """One or two sentences about the alert's next evaluation."""
    order = alert.order
    if lacking := lacks(order, alert.kind):
        what = "no positive limit in this period" if "limit" in lacking else "no end"
        return f"Not evaluated: the order has {what}."
    if order.has_expired(now):
        return f"Not evaluated: the order expired at {order.expires_at:%Y-%m-%d %H:%M} UTC."
    try:
        figures = _figures(alert, now)
        at_limits = login_limits.explain(alert, now) if alert.kind == AlertKind.LOGIN_PERCENT else ""
    except EngineError:
        return "Not evaluated: ClickHouse is unavailable."
    state = AlertState(
        alert.kind,
        alert.threshold,
        alert.is_armed,
        alert.fired_period,
        alert.last_fired_at,
        order.period_number,
        order.limit_bytes,
        order.expires_at,
    )
    usage = _stated(alert, figures, now)
    if at_limits:
        sentence = at_limits
    elif next_step(state, figures, now) is AlertTransition.FIRE:
        sentence = f"{usage}: it fires at the next evaluation, within a minute if the job evaluate-alerts runs."
    elif is_reached(state, figures, now):
        sentence = f"{usage}: it has fired, and is rearmed when that is no longer the case or a new period begins."
    else:
        sentence = f"{usage}: below the threshold ({alert.condition})."
    return sentence if targets_of(alert) else f"{sentence} It has no recipients: every address has unsubscribed."


def _figures(alert: Alert, now: datetime) -> Figures:
    order = alert.order
    whose = {order.pk: order.user_id}
    if alert.kind == AlertKind.ERROR_RATE:
        return Figures(0, *reports.errors_between(whose, window_start(now), now).get(order.pk, (0, 0)))
    return Figures(reports.lifetime_bytes(whose)[order.pk] - order.used_before_period)


def _stated(alert: Alert, figures: Figures, now: datetime) -> str:
    match AlertKind(alert.kind):
        case AlertKind.EXPIRES_IN:
            return f"The order ends at {alert.order.expires_at:%Y-%m-%d %H:%M} UTC"
        case AlertKind.ERROR_RATE:
            since = f"{figures.errors:,} of {figures.requests:,} requests failed since {window_start(now):%H:%M} UTC"
            return since + ("" if figures.requests >= MIN_REQUESTS else f" (at least {MIN_REQUESTS} must be made)")
        case _:
            return f"Usage is {gigabytes(figures.used)} of {gigabytes(alert.order.limit_bytes or 0)}"
