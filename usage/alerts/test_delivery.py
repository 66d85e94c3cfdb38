"""Test deliveries: an alert's message, sent in the same way as a real one, marked as a test.

The page that requests it writes a row per target and shows the outcome. The worker that sends real messages sends it
within seconds, without retries. A test is not a firing and does not arm the alert.
"""

from __future__ import annotations

import logging
from datetime import datetime
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from fonproxy import delivery
from fonproxy.api.errors import Conflict
from fonproxy.delivery import Undeliverable
from fonproxy.units import GIB
from fonproxy.webhooks import DeliveryFailed
from orders.limits import Windows
from usage.alerts import chat, evaluation, login_limits, mail, services, webhooks
from usage.alerts.thresholds import Figures, ReachedLimit
from usage.models import Alert, AlertKind, AlertTest, Firing, LimitName

log = logging.getLogger(__name__)


class DeliveryTestThrottle(SimpleRateThrottle):
    """Limits tests per customer, over all their alerts."""

    rate = "5/hour"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": "alert-test", "ident": view.customer.pk}  # type: ignore[attr-defined]  # of the page


def request(alert: Alert, now: datetime) -> None:
    """Queues a test to every target of the alert, replacing earlier tests.

    Raises Conflict for an alert that cannot fire or has no target.
    """
    if lacking := services.lacks(alert.order, alert.kind):
        raise Conflict(_("The subscription %s, so this alert cannot be triggered.") % lacking)
    targets = evaluation.targets_of(alert)
    if not targets:
        raise Conflict(_("No recipients: every address has unsubscribed from this subscription. Add a recipient."))
    message_id = uuid4()
    with transaction.atomic():
        Alert.objects.select_for_update().get(pk=alert.pk)  # two concurrent clicks create one set of tests
        alert.tests.all().delete()
        AlertTest.objects.bulk_create(
            AlertTest(alert=alert, message_id=message_id, target=target, next_attempt_at=now) for target in targets
        )


def send_due() -> int:
    """Sends the queued tests, a few per customer at a time; returns the number that arrived."""
    # There is rarely one, and the query that chooses them takes much longer to compile.
    if not delivery.waiting(AlertTest.objects.all(), timezone.now()).exists():
        return 0
    return delivery.send_all([delivery.due(AlertTest.objects.all(), "alert__order__user_id")], attempt)


def attempt(number: int) -> bool:
    """Sends the test; True if it arrived. A failed test is not retried."""
    return delivery.attempt(AlertTest.objects.select_related("alert__order__user"), number, _send)


def _send(row: AlertTest, now: datetime) -> None:
    firing = evaluation.firing_of(row.alert, _example(row.alert), now)
    if row.alert.kind == AlertKind.LOGIN_PERCENT:
        firing.logins = [_example_login(row.alert, now)]
    firing.id = row.message_id
    try:
        _deliver(firing, row.target, now)
    except DeliveryFailed as refusal:
        raise Undeliverable(str(refusal)) from None
    except SMTPRecipientsRefused:
        raise Undeliverable(mail.BAD_ADDRESS) from None
    except (OSError, SMTPException) as error:
        log.warning("a test mail could not be sent: %s", error)
        raise Undeliverable("Our mail server did not accept the message. Try again later.") from None


def _deliver(firing: Firing, target: str, now: datetime) -> None:
    match firing.alert.method:
        case Alert.Method.EMAIL:
            mail.send(firing, target, is_test=True)
        case Alert.Method.WEBHOOK:
            webhooks.call(firing, target, now, is_test=True)
        case _:
            chat.deliver(firing, is_test=True)


def _example(alert: Alert) -> Figures:
    """Figures at which the alert would fire."""
    limit = alert.order.limit_bytes or 0
    match AlertKind(alert.kind):
        case AlertKind.BYTES_LEFT:
            return Figures(used=max(limit - alert.threshold, 0))
        case AlertKind.ERROR_RATE:
            return Figures(errors=alert.threshold * 10, requests=1000)
        case _:
            return Figures(used=-(-limit * alert.threshold // 100))


def _example_login(alert: Alert, now: datetime) -> dict[str, Any]:
    """A proxy user of the order, at the threshold of a daily limit of 1 GB."""
    login = alert.order.proxy_users.order_by("login").values_list("login", flat=True).first() or "login"
    windows = Windows.at(now, alert.order.zone)
    used = -(-GIB * alert.threshold // 100)
    return login_limits.figures_of(login, ReachedLimit(LimitName.DAY, used, GIB, windows.day, windows.next_day))
