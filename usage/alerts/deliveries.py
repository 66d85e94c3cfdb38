"""Sends the messages of firings by the method of their alert."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime
from typing import Final

from django.core.cache import cache
from django.utils import timezone

from fonproxy import delivery
from fonproxy.delivery import Undeliverable
from usage.alerts import chat, mail, webhooks
from usage.models import Alert, Delivery, Unsubscription

Method = Alert.Method

MAX_MAILS_A_DAY: Final = 200
"""Mails of a customer's alerts to further recipients, whom nobody asked whether they want them."""
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
    if firing.alert.method == Method.WEBHOOK:
        webhooks.call(firing, row.target, now)
    elif firing.alert.method in chat.SERVICES:
        chat.deliver(firing)
    elif not Unsubscription.objects.filter(order=firing.alert.order, address=row.target.lower()).exists():
        _send_mail(row, now)
    log.info("alert %s delivered", row.firing_id)


def _send_mail(row: Delivery, now: datetime) -> None:
    """Counts mails in the cache, because their rows are deleted with the alert."""
    user = row.firing.alert.order.user
    counter = f"alert-mails:{user.pk}:{now.date()}"
    is_own = row.target.lower() == user.email.lower()
    if not is_own and cache.get(counter, 0) >= MAX_MAILS_A_DAY:
        raise Undeliverable(f"Alerts of this account have sent {MAX_MAILS_A_DAY} mails to further recipients today.")
    mail.send(row.firing, row.target)
    if not is_own:
        cache.add(counter, 0, DAY_SECONDS)
        with suppress(ValueError):  # it has just expired
            cache.incr(counter)
