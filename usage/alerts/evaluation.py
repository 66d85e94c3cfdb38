"""Looks at all alerts at once, with one query to the engine, and fires those that are due.

An alert's row is read before the totals are, and totals only grow: so an evaluator that is late never arms an alert
again on figures older than its firing. Firing is a conditional update together with the new row, so of several
evaluators one fires; one that dies has either done both or nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import F, Q, QuerySet

from analytics import reports
from usage import subscriptions
from usage.alerts.thresholds import State, Step, next_step
from usage.models import Alert, Delivery, Firing, Unsubscription
from usage.subscriptions import Account

HAS_LIMIT_OF_ORDER: Final = Q(order__traffic_limit_bytes__gt=-F("order__added_bytes"))

log = logging.getLogger(__name__)


class _Row(NamedTuple):
    """An alert as it was read."""

    alert_id: int
    arming: int
    state: State


def evaluate(now: datetime) -> int:
    """Fires what is due and arms what is not any more; returns how many fired. Raises EngineError.

    Orders that have expired are left alone. One alert that cannot be dealt with does not keep the others from it.
    """
    fired = 0
    for row, used, step in _steps(Alert.objects.all(), now):
        try:
            fired += _fire(row, used, now) if step is Step.FIRE else _rearm(row)
        except Exception:
            log.exception("alert %s could not be dealt with", row.alert_id)
    return fired


def rearm(alert: Alert, now: datetime) -> None:
    """Arms this alert again if it has fired and its order is below the threshold. Raises EngineError."""
    for row, _, step in _steps(Alert.objects.filter(pk=alert.pk), now):
        if step is Step.REARM:
            _rearm(row)


def _steps(alerts: QuerySet[Alert], now: datetime) -> Iterator[tuple[_Row, int, Step]]:
    """The alerts for which there is something to do, and how much their orders have used."""
    rows = _rows(alerts, now)
    carried = reports.ever_carried({order_id: user_id for _, _, order_id, user_id, *_ in rows}) if rows else {}
    for alert_id, arming, order_id, _, before, *state in rows:
        used = carried[order_id] - before
        if step := next_step(State(*state), used):
            yield _Row(alert_id, arming, State(*state)), used, step


def _rows(alerts: QuerySet[Alert], now: datetime) -> list[tuple[Any, ...]]:
    """The alert, its order and its state, one plain tuple each: there may be a hundred thousand."""
    alerts = alerts.filter(HAS_LIMIT_OF_ORDER).filter(Q(order__expires_at=None) | Q(order__expires_at__gt=now))
    return list(
        alerts.values_list(
            "pk",
            "arming",
            "order_id",
            "order__user_id",
            "order__carried_before",
            "threshold_percent",
            "is_armed",
            "fired_period",
            "order__period_number",
            F("order__traffic_limit_bytes") + F("order__added_bytes"),
        )
    )


def _rearm(row: _Row) -> int:
    Alert.objects.filter(pk=row.alert_id, arming=row.arming, is_armed=False).update(is_armed=True)
    return 0


def _fire(row: _Row, used: int, now: datetime) -> int:
    """1 if this evaluator is the one that fires it."""
    with transaction.atomic():
        as_read = Alert.objects.filter(
            pk=row.alert_id,
            arming=row.arming,
            is_armed=row.state.is_armed,
            threshold_percent=row.state.threshold_percent,
        )
        if not as_read.update(is_armed=False, arming=F("arming") + 1, fired_period=row.state.period, last_fired_at=now):
            return 0
        alert = Alert.objects.select_related("order__user").get(pk=row.alert_id)
        limit = row.state.limit
        if (alert.order.limit_bytes, alert.order.period_number) != (limit, row.state.period):
            transaction.set_rollback(True)  # topped up or renewed since it was read: the next look will tell
            return 0
        account = Account(limit, used, max(limit - used, 0))
        firing = Firing.objects.create(
            alert=alert,
            arming=row.arming,
            threshold_percent=row.state.threshold_percent,
            used_bytes=used,
            limit_bytes=limit,
            runs_out_at=subscriptions.projected_exhaustions([alert.order], {alert.order_id: account}, now)[
                alert.order_id
            ],
            fired_at=now,
        )
        Delivery.objects.bulk_create(
            [Delivery(firing=firing, target=target, next_attempt_at=now) for target in targets_of(alert)]
        )
    return 1


def targets_of(alert: Alert) -> list[str]:
    if alert.method == Alert.Method.WEBHOOK:
        return [alert.webhook_url]
    own = [alert.order.user.email] if alert.order.user.email else []
    gone = set(Unsubscription.objects.filter(order=alert.order).values_list("address", flat=True))
    by_person = {address.lower(): address for address in reversed([*own, *alert.recipients])}
    return [address for person, address in reversed(by_person.items()) if person not in gone]
