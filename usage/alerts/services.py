"""Creating and changing alerts, for customers and staff."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound

from fonproxy import ids, webhooks
from fonproxy.api.errors import Conflict, FieldError, InvalidInput
from orders.models import Order
from orders.signals import order_opened
from usage.alerts import chat, evaluation
from usage.models import NEEDS_LIMIT, Alert, AlertKind, Delivery

DEFAULT_THRESHOLDS: Final = (80, 100)
MAX_ALERTS: Final = 100
MAX_RECIPIENTS: Final = 10
OWN_FIELDS: Final = (
    "threshold",
    "recipients",
    "webhook_url",
    "sealed_chat",
    "masked_chat",
    "target",
    "is_default",
)
Method = Alert.Method


def alerts_of(user_id: int) -> QuerySet[Alert]:
    """The customer's alerts, newest first."""
    return Alert.objects.filter(order__user_id=user_id).select_related("order").order_by("-created_at", "-pk")


def find_alert(user_id: int, published_id: str, prefix: str) -> Alert:
    """The customer's alert of that published id; raises NotFound."""
    number = ids.decode("alert", published_id, prefix)
    alert = alerts_of(user_id).filter(pk=number).first() if number is not None else None
    if alert is None:
        raise NotFound
    return alert


def register() -> None:
    order_opened.connect(make_default_alerts, dispatch_uid="default alerts")


def make_default_alerts(sender: object, *, order: Order, now: datetime, **signal: Any) -> None:
    """Creates the default alerts of a new metered order."""
    if settings.DEFAULT_ALERTS and (order.limit_bytes or 0) > 0:
        for threshold in DEFAULT_THRESHOLDS:
            create(order, threshold, Method.EMAIL, now=now, is_default=True)


def create(
    order: Order,
    threshold: int,
    method: str,
    *,
    now: datetime,
    kind: str = AlertKind.USAGE_PERCENT,
    recipients: Collection[str] = (),
    webhook_url: str = "",
    chat_target: str = "",
    is_default: bool = False,
) -> Alert:
    """Creates an armed alert. One that equals a default alert adopts it: it is then no longer a default alert.

    Raises InvalidInput for an order without the limit or end that the kind needs, Conflict for a duplicate.
    """
    if lacking := lacks(order, kind):
        raise InvalidInput(
            f"The subscription {lacking}.", errors=[FieldError("subscription_id", f"{lacking}.".capitalize())]
        )
    if order.alerts.count() >= MAX_ALERTS:
        raise Conflict(f"A subscription can have at most {MAX_ALERTS} alerts. Delete one first.")
    alert = Alert(
        order=order,
        kind=kind,
        threshold=threshold,
        method=method,
        recipients=list(recipients),
        webhook_url=webhook_url,
        created_at=now,
        is_default=is_default,
    )
    alert.webhook_secret = webhooks.new_secret() if method == Method.WEBHOOK else ""
    alert.chat = chat_target
    try:
        return save(alert)
    except Conflict:
        if adopted := _adopted(alert):
            return adopted
        raise


def lacks(order: Order, kind: str) -> str:
    """The reason why the order cannot have an alert of that kind; empty if it can."""
    if kind in NEEDS_LIMIT and not order.has_limit:
        return "has no traffic limit"
    if kind == AlertKind.EXPIRES_IN and order.expires_at is None:
        return "has no end"
    return ""


def _adopted(alert: Alert) -> Alert | None:
    """The default alert that is equal to this one, once."""
    equal = Alert.objects.filter(
        order=alert.order, kind=alert.kind, threshold=alert.threshold, method=alert.method, target=alert.target
    )
    adopted = equal.filter(is_default=True).update(is_default=False, created_at=alert.created_at)
    return equal.first() if adopted else None


def change(alert: Alert, given: dict[str, Any], now: datetime) -> Alert:
    """Changes threshold, recipients, webhook_url or chat.

    An alert that has fired and is still above its threshold does not fire again. Undelivered firings go to the new
    target. Raises NotFound if it was deleted concurrently, Conflict for a duplicate, EngineError when usage cannot be
    read.
    """
    with transaction.atomic():
        current = locked(alert)
        before = current.target
        for name, value in given.items():
            setattr(current, name, value)
        current.is_default = False
        save(current, is_same_chat="chat" not in given)
        if current.target != before:
            _redirect(current, now)
        evaluation.rearm(current, now)
        current.refresh_from_db()
    return current


def locked(alert: Alert) -> Alert:
    """The current alert, locked until the transaction ends; raises NotFound."""
    current = Alert.objects.select_for_update(of=("self",)).select_related("order__user").filter(pk=alert.pk).first()
    if current is None:
        raise NotFound
    return current


def _redirect(alert: Alert, now: datetime) -> None:
    """Moves waiting deliveries to a new webhook or chat, or deletes those to removed addresses."""
    waiting = Delivery.objects.filter(firing__alert=alert, delivered_at=None, gave_up_at=None)
    if alert.method == Method.EMAIL:
        waiting.exclude(target__in=evaluation.targets_of(alert)).delete()
        return
    [target] = evaluation.targets_of(alert)
    waiting.update(target=target, attempts=0, next_attempt_at=now)


def save(alert: Alert, *, is_same_chat: bool = False) -> Alert:
    """Saves the alert. Raises Conflict for a duplicate.

    An unchanged chat is not decrypted, because it may be stored under another secret key.
    """
    if alert.method not in chat.SERVICES or not is_same_chat:
        _set_target(alert)
    # Only these fields: an evaluator may be writing the others.
    own = None if alert.pk is None else OWN_FIELDS
    try:
        with transaction.atomic():
            alert.save(update_fields=own)
    except IntegrityError:
        raise Conflict("The subscription already has an alert with this threshold and target.") from None
    return alert


def _set_target(alert: Alert) -> None:
    match alert.method:
        case Method.EMAIL:
            target = "\n".join(sorted({each.lower() for each in alert.recipients}))
        case Method.WEBHOOK:
            target = alert.webhook_url
        case _:
            target = alert.chat
            alert.masked_chat = chat.masked(alert.method, target)
    alert.target = hashlib.sha256(target.encode()).hexdigest()
