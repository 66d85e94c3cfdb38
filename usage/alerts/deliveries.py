"""Delivers firings until they arrive. Whoever claims a row by a conditional update tries it.

What happens if the process dies: before the claim nothing has happened; after it, whether or not the message went out,
the claim runs out and somebody tries again with the same id. So a firing arrives at least once.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Final

from django.db import connections
from django.db.models import Count, F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from usage.alerts import mail, webhooks
from usage.models import Alert, Delivery, Unsubscription

CLAIM: Final = timedelta(seconds=60)
AT_ONCE: Final = 8
ROUND: Final = 200
# So that one customer's receivers that hang, with however many alerts, hold no more than this of the threads.
MOST_PER_CUSTOMER: Final = 2
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=6)
MOST_ATTEMPTS: Final = 14

EXPECTED: Final = (webhooks.Refused, SMTPException, OSError)
Method = Alert.Method

log = logging.getLogger(__name__)


def send_due() -> int:
    """Tries whatever is due now, several at a time; returns how many arrived.

    Mails and webhooks have threads of their own, so that neither waits for the other's receivers.
    """
    with ThreadPoolExecutor(AT_ONCE) as mails, ThreadPoolExecutor(AT_ONCE) as calls:
        trying = [mails.submit(_in_thread, number) for number in _due(Method.EMAIL)]
        trying += [calls.submit(_in_thread, number) for number in _due(Method.WEBHOOK)]
        return sum(one.result() for one in trying)


def _waiting(now: datetime) -> QuerySet[Delivery]:
    unclaimed = Q(claimed_until=None) | Q(claimed_until__lte=now)
    return Delivery.objects.filter(unclaimed, delivered_at=None, gave_up_at=None, next_attempt_at__lte=now)


def _due(method: str) -> list[int]:
    """The next round's: of every customer a few, however many one customer's receivers keep waiting."""
    turn = Window(
        RowNumber(), partition_by=F("firing__alert__order__user_id"), order_by=["attempts", "next_attempt_at", "pk"]
    )
    waiting = _waiting(timezone.now()).filter(firing__alert__method=method).annotate(turn=turn)
    first = waiting.filter(turn__lte=MOST_PER_CUSTOMER).order_by("attempts", "next_attempt_at", "pk")
    return list(first.values_list("pk", flat=True)[:ROUND])


def _in_thread(number: int) -> bool:
    try:
        return attempt(number)
    except Exception:
        log.exception("delivery %s could not be tried", number)
        return False
    finally:
        connections.close_all()


def attempt(number: int) -> bool:
    """Claims the delivery and tries it once; whether it arrived. False too when somebody else has claimed it.

    The claim counts the attempt and sets the time of the next one, so that a process that dies at every try gives up
    too.
    """
    now = timezone.now()
    delivery = _waiting(now).select_related("firing__alert__order__user").filter(pk=number).first()
    if delivery is None:
        return False
    attempts = delivery.attempts + 1
    mine = Delivery.objects.filter(pk=number, attempts=attempts)
    claim = {"claimed_until": now + CLAIM, "next_attempt_at": now + pause_after(attempts), "attempts": attempts}
    if not _waiting(now).filter(pk=number, attempts=delivery.attempts).update(**claim):
        return False
    try:
        if attempts > MOST_ATTEMPTS:
            raise webhooks.Refused("Nobody came back from the last attempt.")
        _send(delivery, now)
    except Exception as error:
        log.warning("alert delivery %s failed: %s", number, error, exc_info=not isinstance(error, EXPECTED))
        told = (str(error) or type(error).__name__)[:500]
        mine.update(claimed_until=None, last_error=told, gave_up_at=now if attempts >= MOST_ATTEMPTS else None)
        return False
    mine.update(claimed_until=None, last_error="", delivered_at=timezone.now())
    log.info("alert %s delivered", delivery.firing_id)
    return True


def _send(delivery: Delivery, now: datetime) -> None:
    firing = delivery.firing
    if firing.alert.method == Method.WEBHOOK:
        webhooks.call(firing, delivery.target, now)
    elif not Unsubscription.objects.filter(order=firing.alert.order, address=delivery.target.lower()).exists():
        mail.send(firing, delivery.target)


def pause_after(attempts: int) -> timedelta:
    """Doubles from half a minute to six hours."""
    doubled: int = 2 ** min(attempts - 1, 12)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def by_state() -> dict[str, int]:
    """How many deliveries on record are ``delivered``, ``waiting``, ``failing`` and ``given_up``."""
    open_ones = Q(delivered_at=None, gave_up_at=None)
    counts: dict[str, int] = Delivery.objects.aggregate(
        delivered=Count("pk", filter=~Q(delivered_at=None)),
        waiting=Count("pk", filter=open_ones & Q(attempts=0)),
        failing=Count("pk", filter=open_ones & Q(attempts__gt=0)),
        given_up=Count("pk", filter=~Q(gave_up_at=None)),
    )
    return counts


def send_again(deliveries: QuerySet[Delivery], now: datetime) -> int:
    """Tries these anew, whatever became of them; they carry the same ids. Returns how many."""
    return deliveries.update(
        attempts=0, next_attempt_at=now, claimed_until=None, delivered_at=None, gave_up_at=None, last_error=""
    )
