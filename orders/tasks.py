"""Scheduled tasks of events for the provider's own systems. Each may run any number of times, in any process."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from celery import shared_task
from django.utils import timezone

from orders import events, webhooks

log = logging.getLogger(__name__)


@shared_task
def send_events() -> None:
    """Sends due events."""
    webhooks.send_due()


@shared_task
def send_notices() -> None:
    """Mails staff about disabled endpoints."""
    try:
        webhooks.send_notices()
    except (OSError, SMTPException) as error:
        log.warning("staff could not be mailed about a disabled webhook: %s", error)


@shared_task
def record_expiring() -> None:
    """Writes events for orders that end soon."""
    events.record_expiring(timezone.now())


@shared_task
def forget_events() -> None:
    """Deletes old events."""
    webhooks.forget_old(timezone.now())
