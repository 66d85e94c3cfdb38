"""Delivers firings until they arrive. Whoever claims a row by a conditional update tries it.

What happens if the process dies: before the claim nothing has happened; after it, whether or not the message went out,
the claim runs out and somebody tries again with the same id. So a firing arrives at least once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Final
from urllib.parse import urlsplit

from django.db import connections
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from usage.alerts import mail, webhooks
from usage.models import Alert, Delivery, Unsubscription

CLAIM: Final = timedelta(seconds=60)
AT_ONCE: Final = 8
ROUND: Final = 200
# So that one receiver that hangs, with however many alerts, holds no more than this of the threads.
MOST_PER_HOST: Final = 2
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=6)
MOST_ATTEMPTS: Final = 14

log = logging.getLogger(__name__)


def send_due() -> int:
    """Tries whatever is due now, several at a time; returns how many arrived."""
    due = list(
        _fair(_waiting(timezone.now()).select_related("firing__alert").order_by("attempts", "next_attempt_at")[:ROUND])
    )
    if not due:
        return 0
    with ThreadPoolExecutor(min(AT_ONCE, len(due))) as pool:
        return sum(pool.map(_in_thread, due))


def _waiting(now: datetime) -> QuerySet[Delivery]:
    unclaimed = Q(claimed_until=None) | Q(claimed_until__lte=now)
    return Delivery.objects.filter(unclaimed, delivered_at=None, gave_up_at=None, next_attempt_at__lte=now)


def _fair(due: Iterable[Delivery]) -> Iterator[int]:
    hosts: Counter[str] = Counter()
    for delivery in due:
        host = _host(delivery)
        hosts[host] += 1
        if not host or hosts[host] <= MOST_PER_HOST:
            yield delivery.pk


def _host(delivery: Delivery) -> str:
    is_webhook = delivery.firing.alert.method == Alert.Method.WEBHOOK
    return urlsplit(delivery.target).hostname or "?" if is_webhook else ""


def _in_thread(number: int) -> bool:
    try:
        return attempt(number)
    except Exception:
        log.exception("delivery %s could not be tried", number)
        return False
    finally:
        connections.close_all()


def attempt(number: int) -> bool:
    """Claims the delivery and tries it once; whether it arrived. False too when somebody else has claimed it."""
    now = timezone.now()
    if not _waiting(now).filter(pk=number).update(claimed_until=now + CLAIM, attempts=F("attempts") + 1):
        return False
    delivery = Delivery.objects.select_related("firing__alert__order__user").get(pk=number)
    mine = Delivery.objects.filter(pk=number, attempts=delivery.attempts)
    try:
        _send(delivery, now)
    except (webhooks.Refused, SMTPException, OSError, ValueError) as error:
        mine.update(claimed_until=None, last_error=(str(error) or type(error).__name__)[:500], **_later(delivery, now))
        log.warning("alert delivery %s failed: %s", number, error)
        return False
    mine.update(claimed_until=None, last_error="", delivered_at=timezone.now())
    log.info("alert %s delivered", delivery.firing_id)
    return True


def _send(delivery: Delivery, now: datetime) -> None:
    firing = delivery.firing
    if firing.alert.method == Alert.Method.WEBHOOK:
        webhooks.call(firing, delivery.target, now)
    elif not Unsubscription.objects.filter(order=firing.alert.order, address=delivery.target.lower()).exists():
        mail.send(firing, delivery.target)


def _later(delivery: Delivery, now: datetime) -> dict[str, datetime]:
    if delivery.attempts >= MOST_ATTEMPTS:
        return {"gave_up_at": now}
    return {"next_attempt_at": now + pause_after(delivery.attempts)}


def pause_after(attempts: int) -> timedelta:
    """Doubles from half a minute to six hours."""
    doubled: int = 2 ** min(attempts - 1, 12)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def send_again(deliveries: QuerySet[Delivery], now: datetime) -> int:
    """Tries these anew, whatever became of them; they carry the same ids. Returns how many."""
    return deliveries.update(
        attempts=0, next_attempt_at=now, claimed_until=None, delivered_at=None, gave_up_at=None, last_error=""
    )
