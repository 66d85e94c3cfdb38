"""Test deliveries: an alert's message sent now, by the way that real ones take, and marked as a test.

Nothing is written, so a test is no firing and arms nothing. It is sent while its sender waits, so that the outcome can
be told; a receiver that hangs holds one of a few places, never all threads.
"""

from __future__ import annotations

import logging
from datetime import datetime
from smtplib import SMTPException, SMTPRecipientsRefused
from threading import BoundedSemaphore
from typing import Final, NamedTuple

from django.core.mail import get_connection
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from fonproxy.api.errors import Conflict, TooBusy
from usage.alerts import evaluation, mail, webhooks
from usage.models import Alert, Firing

AT_ONCE: Final = 2
BUSY_SECONDS: Final = 15

_places = BoundedSemaphore(AT_ONCE)
log = logging.getLogger(__name__)


class TrialThrottle(SimpleRateThrottle):
    """Per customer, whatever their alerts: recipients are not theirs to flood."""

    rate = "5/hour"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": "alert-test", "ident": request.user.pk}


class Outcome(NamedTuple):
    """What became of one target's test; ``problem`` is a sentence, empty when it arrived."""

    target: str
    problem: str


def send(alert: Alert, now: datetime) -> list[Outcome]:
    """Tells everyone the alert would tell.

    Raises Conflict for an alert that cannot fire or has nobody to tell, TooBusy when the places are taken.
    """
    limit = alert.order.limit_bytes or 0
    if limit <= 0:
        raise Conflict(_("The subscription has no traffic limit, so this alert cannot fire."))
    targets = evaluation.targets_of(alert)
    if not targets:
        raise Conflict(_("Nobody would be told: there is no address that still wants mail about this subscription."))
    reached = -(-limit * alert.threshold_percent // 100)
    firing = Firing(
        alert=alert, threshold_percent=alert.threshold_percent, used_bytes=reached, limit_bytes=limit, fired_at=now
    )
    if not _places.acquire(blocking=False):
        raise TooBusy(_("Other tests are being sent. Try again in a few seconds."), wait=BUSY_SECONDS)
    try:
        if alert.method == Alert.Method.WEBHOOK:
            return [_called(firing, target, now) for target in targets]
        return _mailed(firing, targets)
    finally:
        _places.release()


def _called(firing: Firing, target: str, now: datetime) -> Outcome:
    try:
        webhooks.call(firing, target, now, is_test=True)
    except webhooks.Refused as refusal:
        return Outcome(target, str(refusal))
    return Outcome(target, "")


def _mailed(firing: Firing, addresses: list[str]) -> list[Outcome]:
    """Over one connection, so that a mail server that hangs is waited for once."""
    away = _("Our mail server did not take it.")
    connection = get_connection()
    try:
        connection.open()
    except (OSError, SMTPException) as error:
        log.warning("a test mail could not be sent: %s", error)
        return [Outcome(address, away) for address in addresses]
    outcomes: list[Outcome] = []
    try:
        for address in addresses:
            try:
                mail.send(firing, address, is_test=True, connection=connection)
            except SMTPRecipientsRefused:
                outcomes.append(Outcome(address, _("The mail server refuses this address.")))
            except (OSError, SMTPException) as error:
                log.warning("a test mail could not be sent: %s", error)
                return outcomes + [Outcome(left, away) for left in addresses[len(outcomes) :]]
            else:
                outcomes.append(Outcome(address, ""))
        return outcomes
    finally:
        connection.close()
