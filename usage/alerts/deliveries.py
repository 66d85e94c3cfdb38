"""Sends the messages of firings by the method of their alert."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from django.core.cache import cache
from django.utils import timezone

from fonproxy import counters, delivery
from fonproxy.delivery import Undeliverable
from fonproxy.webhooks import DeliveryFailed
from usage.alerts import chat, mail, webhooks
from usage.models import Alert, Delivery, Unsubscription

Method = Alert.Method

MAX_MAILS_A_DAY: Final = 200
"""Mails of a customer's alerts to further recipients, whom nobody asked whether they want them."""
MAX_CALLS_A_DAY: Final = 2000
"""Attempts to call webhooks and chats of a customer's alerts, which may belong to anybody and may refuse them."""
DAY_SECONDS: Final = 24 * 60 * 60

log = logging.getLogger(__name__)


def send_due() -> int:
    """Tries all due deliveries; returns how many arrived."""
    # There is rarely one, and the queries that choose them take much longer to compile.
    if not delivery.waiting(Delivery.objects.all(), timezone.now()).exists():
        return 0
    return delivery.send_all([due(Method.EMAIL), due(Method.WEBHOOK), due(*chat.SERVICES)], attempt)


def due(*methods: str) -> list[int]:
    """The deliveries of the next round by these methods, a few per customer."""
    return delivery.due(Delivery.objects.filter(firing__alert__method__in=methods), "firing__alert__order__user_id")


def attempt(number: int) -> bool:
    """Makes one attempt; True if the message arrived."""
    return delivery.attempt(Delivery.objects.select_related("firing__alert__order__user"), number, _send)


def _send(row: Delivery, now: datetime) -> None:
    firing = row.firing
    if firing.alert.method != Method.EMAIL:
        _call(row, now)
    elif not Unsubscription.objects.filter(order=firing.alert.order, address=row.target.lower()).exists():
        _send_mail(row, now)
    log.info("alert %s delivered", row.firing_id)


def _call(row: Delivery, now: datetime) -> None:
    """Makes a counted call. One above the limit fails, and its back-off takes it to the next day."""
    firing = row.firing
    if counters.count(_counter("calls", row, now), DAY_SECONDS) > MAX_CALLS_A_DAY:
        raise DeliveryFailed(f"Alerts of this account have made {MAX_CALLS_A_DAY:,} calls today.")
    if firing.alert.method == Method.WEBHOOK:
        webhooks.call(firing, row.target, now)
    else:
        chat.deliver(firing)


def _send_mail(row: Delivery, now: datetime) -> None:
    user = row.firing.alert.order.user
    counter = _counter("mails", row, now)
    is_own = row.target.lower() == user.email.lower()
    if not is_own and cache.get(counter, 0) >= MAX_MAILS_A_DAY:
        raise Undeliverable(f"Alerts of this account have sent {MAX_MAILS_A_DAY} mails to further recipients today.")
    mail.send(row.firing, row.target)
    if not is_own:
        counters.count(counter, DAY_SECONDS)


def _counter(what: str, row: Delivery, now: datetime) -> str:
    """A day's count of an account in the cache, because the rows are deleted with the alert."""
    return f"alert-{what}:{row.firing.alert.order.user_id}:{now.date()}"
