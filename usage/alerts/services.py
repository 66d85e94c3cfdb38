"""Alerts as customers and staff make and change them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound

from accounts.models import Order
from fonproxy import ids
from fonproxy.api.errors import Conflict, FieldError, InvalidInput
from usage.alerts import evaluation
from usage.models import Alert, Delivery

DEFAULT_THRESHOLDS: Final = (80, 100)
MOST_ALERTS: Final = 100
MOST_RECIPIENTS: Final = 10
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


def make_default_alerts(order: Order, now: datetime) -> None:
    """What a new metered order begins with, in the transaction that makes it."""
    if settings.DEFAULT_ALERTS and (order.limit_bytes or 0) > 0:
        for threshold in DEFAULT_THRESHOLDS:
            create(order, threshold, Method.EMAIL, now=now)


def create(
    order: Order,
    threshold_percent: int,
    method: str,
    *,
    now: datetime,
    recipients: Collection[str] = (),
    webhook_url: str = "",
) -> Alert:
    """A new, armed alert. Raises InvalidInput for an order without a limit, Conflict when there is such an alert."""
    if (order.limit_bytes or 0) <= 0:
        raise InvalidInput(
            "The subscription has no traffic limit.", errors=[FieldError("subscription_id", "Has no positive limit.")]
        )
    if order.alerts.count() >= MOST_ALERTS:
        raise Conflict(f"A subscription has at most {MOST_ALERTS} alerts.")
    alert = Alert(
        order=order,
        threshold_percent=threshold_percent,
        method=method,
        recipients=list(recipients),
        webhook_url=webhook_url,
        webhook_secret=base64.b64encode(secrets.token_bytes(24)).decode() if method == Method.WEBHOOK else "",
        created_at=now,
    )
    return save(alert)


def change(alert: Alert, given: dict[str, Any], now: datetime) -> Alert:
    """Changes threshold or target; an alert that is above its threshold now does not fire again for it.

    What has fired and did not arrive yet goes to the new target. Raises NotFound when it was deleted meanwhile,
    Conflict when there is such an alert, EngineError when nobody can say how much was used.
    """
    with transaction.atomic():
        current = locked(alert)
        for name, value in given.items():
            setattr(current, name, value)
        save(current)
        _redirect(current, now)
        evaluation.rearm(current, now)
        current.refresh_from_db()
    return current


def locked(alert: Alert) -> Alert:
    """The alert as it is now, held until the transaction ends; raises NotFound."""
    current = Alert.objects.select_for_update(of=("self",)).select_related("order__user").filter(pk=alert.pk).first()
    if current is None:
        raise NotFound
    return current


def _redirect(alert: Alert, now: datetime) -> None:
    """Those who are told no more are not told of what waits either; a webhook's new address is."""
    waiting = Delivery.objects.filter(firing__alert=alert, delivered_at=None, gave_up_at=None)
    if alert.method == Method.WEBHOOK:
        moved = waiting.exclude(target=alert.webhook_url)
        moved.update(target=alert.webhook_url, attempts=0, next_attempt_at=now)
    else:
        waiting.exclude(target__in=evaluation.targets_of(alert)).delete()


def save(alert: Alert) -> Alert:
    """Raises Conflict when there is such an alert."""
    told = (
        alert.webhook_url
        if alert.method == Method.WEBHOOK
        else "\n".join(sorted({each.lower() for each in alert.recipients}))
    )
    alert.target = hashlib.sha256(told.encode()).hexdigest()
    # An evaluator may fire it at this very moment: what it writes is not ours to write.
    own = None if alert.pk is None else ("threshold_percent", "recipients", "webhook_url", "target")
    try:
        with transaction.atomic():
            alert.save(update_fields=own)
    except IntegrityError:
        raise Conflict("There is such an alert already.") from None
    return alert
