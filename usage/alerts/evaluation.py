"""Evaluates alerts about orders with one query of usage and one of error rates, and fires those that are reached.

Alerts are read before the figures, and totals only grow, so a late evaluator never rearms an alert with figures older
than its firing. An alert fires by a conditional update in one transaction with its Firing, so exactly one of several
evaluators fires it, and one that dies has done both or nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, Q, QuerySet

from analytics import reports
from orders.models import has_expired, has_limit
from usage import subscriptions
from usage.alerts.thresholds import AlertState, AlertTransition, Figures, next_step, window_start
from usage.models import NEEDS_LIMIT, Alert, AlertKind, Delivery, Firing, Unsubscription
from usage.subscriptions import Allowance

Method = Alert.Method

log = logging.getLogger(__name__)


class _EvaluatedAlert(NamedTuple):
    """An alert's state as read from the database."""

    alert_id: int
    arming: int
    order_id: int
    method: str
    state: AlertState

    @property
    def shares_mail(self) -> bool:
        """Whether several such alerts share one mail."""
        return self.method == Method.EMAIL and self.state.kind == AlertKind.USAGE_PERCENT


class _DueAlert(NamedTuple):
    """An alert that must fire, with its order's figures."""

    row: _EvaluatedAlert
    figures: Figures


def evaluate(now: datetime) -> int:
    """Fires and rearms alerts; returns the number fired. Raises EngineError.

    Skips alerts of expired orders. An error with one alert does not affect the others.
    """
    fired = 0
    firing: dict[int, list[_DueAlert]] = {}
    for row, figures, step in _steps(Alert.objects.all(), now):
        if step is AlertTransition.FIRE:
            firing.setdefault(row.order_id, []).append(_DueAlert(row, figures))
            continue
        with _logged(row):
            _rearm(row)
    for due in firing.values():
        fired += _fire_together(due, now)
    return fired


@contextmanager
def _logged(row: _EvaluatedAlert) -> Iterator[None]:
    try:
        yield
    except Exception:
        log.exception("alert %s could not be evaluated", row.alert_id)


def _fire_together(due: list[_DueAlert], now: datetime) -> int:
    """Fires alerts of one order, the highest percentage first, whose mail also names the lower ones reached.

    An address gets one mail, about the highest percentage for which it is a recipient. Returns the number fired.
    """
    fired = 0
    notified: set[str] = set()
    due = sorted(due, key=lambda each: -each.row.state.threshold)
    for number, (row, figures) in enumerate(due):
        lower = [each.row.state.threshold for each in due[number + 1 :] if each.row.shares_mail]
        with _logged(row):
            fired += _fire(row, figures, now, notified, lower if row.shares_mail else [])
    return fired


def rearm(alert: Alert, now: datetime) -> None:
    """Rearms this alert if it has fired and its order is below the threshold. Raises EngineError."""
    for row, _, step in _steps(Alert.objects.filter(pk=alert.pk), now):
        if step is AlertTransition.REARM:
            _rearm(row)


def _steps(alerts: QuerySet[Alert], now: datetime) -> Iterator[tuple[_EvaluatedAlert, Figures, AlertTransition]]:
    """The alerts that must fire or be re-armed, with the figures of their orders."""
    rows = _rows(alerts, now)
    metered = {order_id: user_id for _, _, order_id, user_id, _, _, kind, *_ in rows if kind in NEEDS_LIMIT}
    rated = {order_id: user_id for _, _, order_id, user_id, _, _, kind, *_ in rows if kind == AlertKind.ERROR_RATE}
    lifetime = reports.lifetime_bytes(metered) if metered else {}
    rates = reports.errors_between(rated, window_start(now), now) if rated else {}
    for alert_id, arming, order_id, _, method, before, *fields in rows:
        state = AlertState(*fields)
        errors, requests = rates.get(order_id, (0, 0))
        figures = Figures(lifetime.get(order_id, 0) - before, errors, requests)
        if step := next_step(state, figures, now):
            yield _EvaluatedAlert(alert_id, arming, order_id, method, state), figures, step


def _rows(alerts: QuerySet[Alert], now: datetime) -> list[tuple[Any, ...]]:
    """The alerts with their orders as tuples: there may be a hundred thousand."""
    can_fire = (
        (Q(kind__in=NEEDS_LIMIT) & has_limit("order__"))
        | Q(kind=AlertKind.EXPIRES_IN, order__expires_at__isnull=False)
        | Q(kind=AlertKind.ERROR_RATE)
    )
    return list(
        alerts.filter(can_fire, ~has_expired(now, "order__")).values_list(
            "pk",
            "arming",
            "order_id",
            "order__user_id",
            "method",
            "order__used_before_period",
            "kind",
            "threshold",
            "is_armed",
            "fired_period",
            "last_fired_at",
            "order__period_number",
            F("order__traffic_limit_bytes") + F("order__added_bytes"),
            "order__expires_at",
        )
    )


def _rearm(row: _EvaluatedAlert) -> None:
    Alert.objects.filter(pk=row.alert_id, arming=row.arming, is_armed=False).update(is_armed=True)


def _fire(row: _EvaluatedAlert, figures: Figures, now: datetime, notified: set[str], also_reached: list[int]) -> int:
    """Fires the alert; returns 0 if it has changed or another evaluator was faster, else 1.

    ``notified`` has the addresses that get a mail about a higher percentage; those of this alert are added.
    """
    state = row.state
    with transaction.atomic():
        as_read = Alert.objects.filter(
            pk=row.alert_id, arming=row.arming, is_armed=state.is_armed, threshold=state.threshold
        )
        if not as_read.update(is_armed=False, arming=F("arming") + 1, fired_period=state.period, last_fired_at=now):
            return 0
        alert = Alert.objects.select_related("order__user").get(pk=row.alert_id)
        order = alert.order
        if (order.limit_bytes, order.expires_at, order.period_number) != (state.limit, state.expires_at, state.period):
            transaction.set_rollback(True)  # topped up or renewed since it was read: left to the next evaluation
            return 0
        firing = firing_of(alert, figures, now)
        firing.arming, firing.also_reached = row.arming, also_reached
        if firing.limit_bytes:
            account = Allowance(firing.limit_bytes, figures.used, max(firing.limit_bytes - figures.used, 0))
            firing.runs_out_at = subscriptions.projected_exhaustions([order], {order.pk: account}, now)[order.pk]
        skipped = notified if row.shares_mail else set()
        targets = [target for target in targets_of(alert) if target.lower() not in skipped]
        store(firing, targets, now)
    if row.shares_mail:
        notified |= {target.lower() for target in targets}
    return 1


def store(firing: Firing, targets: Iterable[str], now: datetime) -> None:
    """Stores the firing, and a delivery to each target that is due now."""
    firing.save(force_insert=True)
    Delivery.objects.bulk_create([Delivery(firing=firing, target=target, next_attempt_at=now) for target in targets])


def firing_of(alert: Alert, figures: Figures, now: datetime) -> Firing:
    """An unsaved firing of the alert with the figures of its kind."""
    firing = Firing(alert=alert, kind=alert.kind, threshold=alert.threshold, fired_at=now)
    if alert.kind in NEEDS_LIMIT:
        firing.used_bytes, firing.limit_bytes = figures.used, alert.order.limit_bytes
    elif alert.kind == AlertKind.EXPIRES_IN:
        firing.expires_at = alert.order.expires_at
    elif alert.kind == AlertKind.ERROR_RATE:
        firing.errors, firing.requests, firing.window_began_at = figures.errors, figures.requests, window_start(now)
    return firing


def targets_of(alert: Alert) -> list[str]:
    if alert.method == Method.WEBHOOK:
        return [alert.webhook_url]
    if alert.method != Method.EMAIL:
        return [alert.masked_chat]
    own = [alert.order.user.email] if alert.order.user.email else []
    gone = set(Unsubscription.objects.filter(order=alert.order).values_list("address", flat=True))
    by_person = {address.lower(): address for address in reversed([*own, *alert.recipients])}
    return [address for person, address in reversed(by_person.items()) if person not in gone]
