"""Delivers messages at least once.

A worker claims a row by a conditional update and makes an attempt. If the process dies before the claim, nothing has
happened; after it, whether or not the message was sent, the claim expires and the delivery is attempted again with the
same id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any, Final, TypeVar

from django.db import connections, models
from django.db.models import Count, F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from fonproxy.webhooks import DeliveryFailed

CLAIM: Final = timedelta(seconds=60)
AT_ONCE: Final = 8
ROUND: Final = 200
# Threads per owner of receivers, so that one owner's hanging receivers do not occupy all of them.
MAX_PER_OWNER: Final = 2
FIRST_PAUSE: Final = timedelta(seconds=30)
MAX_RETRY_DELAY: Final = timedelta(hours=6)
MAX_ATTEMPTS: Final = 14


class Undeliverable(Exception):
    """The message cannot be delivered by any number of attempts; the text gives the reason."""


EXPECTED: Final = (Undeliverable, DeliveryFailed, SMTPException, OSError)
OPEN: Final = Q(delivered_at=None, gave_up_at=None)
STATES: Final = {
    "delivered": ~Q(delivered_at=None),
    "waiting": OPEN & Q(attempts=0),
    "failing": OPEN & Q(attempts__gt=0),
    "given_up": ~Q(gave_up_at=None),
}

log = logging.getLogger(__name__)


class BaseDelivery(models.Model):
    """The delivery of a message to one target: attempts, claim and outcome."""

    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, help_text="Until then a worker is trying it.")
    delivered_at = models.DateTimeField(null=True)
    gave_up_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)

    class Meta:
        abstract = True

    @property
    def state(self) -> str:
        """The name of its state, one of ``STATES``."""
        if self.delivered_at is not None:
            return "delivered"
        if self.gave_up_at is not None:
            return "given_up"
        return "failing" if self.attempts else "waiting"


D = TypeVar("D", bound=BaseDelivery)


def waiting(deliveries: QuerySet[D], now: datetime) -> QuerySet[D]:
    """Deliveries that are due and claimed by no worker."""
    unclaimed = Q(claimed_until=None) | Q(claimed_until__lte=now)
    return deliveries.filter(OPEN, unclaimed, next_attempt_at__lte=now)


def due(deliveries: QuerySet[Any], owner: str, most: int = MAX_PER_OWNER) -> list[int]:
    """The deliveries of the next round, at most ``most`` per owner; ``owner`` is a lookup."""
    turn = Window(RowNumber(), partition_by=F(owner), order_by=["attempts", "next_attempt_at", "pk"])
    first = waiting(deliveries, timezone.now()).annotate(turn=turn).filter(turn__lte=most)
    return list(first.order_by("attempts", "next_attempt_at", "pk").values_list("pk", flat=True)[:ROUND])


def send_all(rounds: Sequence[list[int]], attempt: Callable[[int], bool], *, threads: int = AT_ONCE) -> int:
    """Attempts these deliveries, several at a time; returns the number that arrived.

    Each round has its own threads, so that none waits for another round's receivers.
    """

    def in_thread(number: int) -> bool:
        try:
            return attempt(number)
        except Exception:
            log.exception("delivery %s could not be tried", number)
            return False
        finally:
            connections.close_all()

    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(threads)) for numbers in rounds if numbers]
        trying = [
            pool.submit(in_thread, number)
            for pool, numbers in zip(pools, filter(None, rounds), strict=True)
            for number in numbers
        ]
        return sum(future.result() for future in trying)


def attempt(deliveries: QuerySet[D], number: int, send: Callable[[D, datetime], None]) -> bool:
    """Claims the delivery and makes one attempt. True if it arrived, False if it failed or another worker has claimed
    it.

    The claim counts the attempt and sets the time of the next one, so attempts that kill the process are counted too.
    """
    now = timezone.now()
    delivery = waiting(deliveries, now).filter(pk=number).first()
    if delivery is None:
        return False
    rows = type(delivery)._default_manager.filter(pk=number)
    attempts = delivery.attempts + 1
    claimed_until = now + CLAIM
    # ``attempts`` alone does not identify an attempt: it is reset when a delivery is sent again.
    mine = rows.filter(attempts=attempts, claimed_until=claimed_until)
    claim = {"claimed_until": claimed_until, "next_attempt_at": now + pause_after(attempts), "attempts": attempts}
    if not waiting(rows, now).filter(attempts=delivery.attempts).update(**claim):
        return False
    try:
        if attempts > MAX_ATTEMPTS:
            raise DeliveryFailed("The previous attempt did not finish.")
        send(delivery, now)
    except Exception as error:
        log.warning(
            "%s %s failed: %s", delivery._meta.verbose_name, number, error, exc_info=not isinstance(error, EXPECTED)
        )
        reason = (str(error) or type(error).__name__)[:500]
        is_over = attempts >= MAX_ATTEMPTS or isinstance(error, Undeliverable)
        mine.update(claimed_until=None, last_error=reason, gave_up_at=now if is_over else None)
        return False
    mine.update(claimed_until=None, last_error="", delivered_at=timezone.now())
    return True


def pause_after(attempts: int) -> timedelta:
    """The delay before the next attempt: doubles from half a minute to six hours."""
    doubled: int = 2 ** min(attempts - 1, 12)
    return min(FIRST_PAUSE * doubled, MAX_RETRY_DELAY)


def by_state(deliveries: QuerySet[Any]) -> dict[str, int]:
    """The number of deliveries in each of ``STATES``."""
    counts: dict[str, int] = deliveries.aggregate(
        **{name: Count("pk", filter=condition) for name, condition in STATES.items()}
    )
    return counts


def send_again(deliveries: QuerySet[Any], now: datetime) -> int:
    """Resets these deliveries so that they are sent again under the same ids. Returns their number."""
    return deliveries.update(
        attempts=0, next_attempt_at=now, claimed_until=None, delivered_at=None, gave_up_at=None, last_error=""
    )
