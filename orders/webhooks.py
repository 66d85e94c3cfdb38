"""The provider's webhooks: endpoints, and the delivery of events to them.

Events are delivered like alerts (``fonproxy.delivery``), at least once, as specified by Standard Webhooks. An endpoint
whose deliveries have all failed for three days is disabled, and staff are mailed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any, Final

import msgspec
from django.conf import settings
from django.core.mail import get_connection, send_mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.template.loader import render_to_string
from rest_framework.exceptions import NotFound

from accounts.models import User
from accounts.powers import staff_may
from fonproxy import delivery, ids, webhooks
from fonproxy.api.errors import Conflict
from fonproxy.sealing import Unreadable
from orders.models import TEST, EventDelivery, ProviderEvent, WebhookEndpoint

MAX_ENDPOINTS: Final = 20
# Enough for the end of a month at a healthy endpoint; a failing one occupies few threads.
PER_ROUND: Final = 100
THREADS: Final = 4
MAX_FAILING: Final = timedelta(days=3)
RETENTION: Final = timedelta(days=30)
MAX_OPEN_TESTS: Final = 5

log = logging.getLogger(__name__)


def find(published_id: str) -> WebhookEndpoint:
    """Raises NotFound."""
    number = ids.decode("webhook", published_id)
    endpoint = WebhookEndpoint.objects.filter(pk=number).first() if number is not None else None
    if endpoint is None:
        raise NotFound
    return endpoint


def find_delivery(endpoint: WebhookEndpoint, published_id: str) -> EventDelivery:
    """A delivery to this endpoint; raises NotFound."""
    number = ids.decode("webhook_delivery", published_id)
    found = endpoint.deliveries.filter(pk=number).first() if number is not None else None
    if found is None:
        raise NotFound
    return found


def create(*, url: str, description: str, event_types: Sequence[str], now: datetime) -> WebhookEndpoint:
    """An enabled endpoint with a new secret. Raises Conflict when there are too many."""
    if WebhookEndpoint.objects.count() >= MAX_ENDPOINTS:
        raise Conflict(f"There can be at most {MAX_ENDPOINTS} webhooks. Delete one first.")
    endpoint = WebhookEndpoint(url=url, description=description, event_types=list(event_types), created_at=now)
    endpoint.secret = webhooks.new_secret()
    endpoint.save()
    return endpoint


def change(endpoint: WebhookEndpoint, given: dict[str, Any], now: datetime) -> WebhookEndpoint:
    """Changes ``url``, ``description``, ``event_types`` or ``is_enabled``; raises NotFound if it was deleted
    concurrently.

    After a change of the URL, or when the endpoint is enabled again, waiting deliveries are sent at once.
    """
    with transaction.atomic():
        current = WebhookEndpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
        if current is None:
            raise NotFound
        is_new_target = given.get("url", current.url) != current.url
        is_new_target |= given.get("is_enabled", False) and not current.is_enabled
        for name, value in given.items():
            setattr(current, name, value)
        if is_new_target:
            current.failing_since = current.disabled_at = None
            current.is_notice_due = False
            current.deliveries.filter(delivery.OPEN).update(attempts=0, next_attempt_at=now)
        current.save(update_fields=[*given, "failing_since", "disabled_at", "is_notice_due"])
    return current


def send_due() -> int:
    """Tries all due deliveries; returns the number that arrived.

    Each endpoint has its own threads. After a failure its other deliveries wait for the next round, so a hanging
    receiver costs one timeout per round.
    """
    rounds: list[list[int]] = []
    owners: dict[int, int] = {}
    for endpoint in WebhookEndpoint.objects.filter(is_enabled=True).order_by("pk"):
        most = PER_ROUND if endpoint.failing_since is None else delivery.MAX_PER_OWNER
        numbers = delivery.due(endpoint.deliveries.all(), "endpoint_id", most)
        rounds.append(numbers)
        owners |= dict.fromkeys(numbers, endpoint.pk)
    failed: set[int] = set()

    def unless_failed(number: int) -> bool:
        if owners[number] in failed:
            return False
        if attempt(number):
            return True
        failed.add(owners[number])
        return False

    return delivery.send_all(rounds, unless_failed, threads=THREADS)


def attempt(number: int) -> bool:
    """Makes one attempt; True if the event arrived."""
    waiting = EventDelivery.objects.filter(endpoint__is_enabled=True).select_related("event", "endpoint")
    return delivery.attempt(waiting, number, _send)


def _send(row: EventDelivery, now: datetime) -> None:
    try:
        _call(row.endpoint, row.event, now)
    except webhooks.DeliveryFailed as fault:
        if row.event.type == TEST:
            raise delivery.Undeliverable(str(fault)) from None
        _note_failure(row.endpoint_id, now)
        raise
    WebhookEndpoint.objects.filter(pk=row.endpoint_id).exclude(failing_since=None).update(failing_since=None)


def _call(endpoint: WebhookEndpoint, event: ProviderEvent, now: datetime) -> None:
    try:
        secret = endpoint.secret
    except Unreadable as fault:
        raise webhooks.DeliveryFailed(str(fault)) from None
    webhooks.send(endpoint.url, secret, str(event.id), body_of(event), now)


def body_of(event: ProviderEvent) -> bytes:
    return msgspec.json.encode(
        {
            "type": event.type,
            "id": str(event.id),
            "timestamp": event.occurred_at.isoformat().replace("+00:00", "Z"),
            "data": event.data,
        }
    )


def _note_failure(endpoint_id: int, now: datetime) -> None:
    """Stores when the endpoint began to fail, and disables it after three days."""
    endpoint = WebhookEndpoint.objects.filter(pk=endpoint_id, is_enabled=True)
    endpoint.filter(failing_since=None).update(failing_since=now)
    too_long = endpoint.filter(failing_since__lte=now - MAX_FAILING)
    if too_long.update(is_enabled=False, disabled_at=now, is_notice_due=True):
        log.warning("webhook endpoint %s is disabled: nothing has arrived for three days", endpoint_id)


def send_notices() -> int:
    """Mails staff about disabled endpoints; returns the number of endpoints that are done.

    An endpoint is done once one address was accepted: a refused address must not cause further mails to the others. If
    no address was accepted, the next run tries again. If the process dies in between, staff are mailed again. Raises
    OSError or SMTPException when the mail server cannot be reached.
    """
    due = list(WebhookEndpoint.objects.filter(is_notice_due=True))
    if not due:
        return 0
    addresses, done = _staff_addresses(), 0
    with get_connection() as connection:
        for endpoint in due:
            text = render_to_string("emails/webhook_disabled.txt", {"endpoint": endpoint, "home": settings.PUBLIC_URL})
            accepted = [address for address in addresses if _is_mailed(text, address, connection)]
            if accepted or not addresses:
                done += WebhookEndpoint.objects.filter(pk=endpoint.pk).update(is_notice_due=False)
    return done


def _is_mailed(text: str, address: str, connection: BaseEmailBackend) -> bool:
    try:
        send_mail("FonProxy: a webhook is disabled", text, None, [address], connection=connection)
    except (OSError, SMTPException, ValueError) as error:  # ValueError: an address without an ASCII form
        log.warning("a member of staff could not be mailed about a disabled webhook: %s", error)
        return False
    return True


def _staff_addresses() -> list[str]:
    staff = User.objects.filter(is_active=True, is_staff=True).exclude(email="").order_by("pk")
    return [user.email for user in staff if staff_may(user, "orders.change_webhookendpoint")]


def send_test(endpoint: WebhookEndpoint, now: datetime) -> EventDelivery:
    """Queues an event of type ``webhook.test`` for this endpoint only. Raises Conflict.

    A failed test is not retried and does not count as a failure of the endpoint.
    """
    if not endpoint.is_enabled:
        raise Conflict("The webhook is disabled. Enable it first.")
    if endpoint.deliveries.filter(delivery.OPEN, event__type=TEST).count() >= MAX_OPEN_TESTS:
        raise Conflict("Earlier tests are still waiting for delivery. Check their results first.")
    with transaction.atomic():
        event = ProviderEvent.objects.create(type=TEST, user_number=0, data={}, occurred_at=now)
        return EventDelivery.objects.create(event=event, endpoint=endpoint, next_attempt_at=now)


def forget_old(now: datetime) -> int:
    """Deletes events older than 30 days, and deliveries to deleted endpoints; returns the number of events."""
    EventDelivery.objects.exclude(endpoint__in=WebhookEndpoint.objects.all()).delete()
    old = ProviderEvent.objects.filter(occurred_at__lt=now - RETENTION)
    return old.delete()[1].get("orders.ProviderEvent", 0)
