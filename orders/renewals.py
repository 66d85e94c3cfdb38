"""Periods of orders: starting a period, posting away the remainder of one, and renewing at each recurring boundary.

A recurring renewal has a reference that names its boundary; the database refuses a second entry with it. A renewal is
one transaction under the order's lock: if the process dies, the order stays due and another process renews it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import F, Q

from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.sqlite import let_others_write
from fonproxy.timerange import midnight
from orders import enforcement, events, ledger, traffic
from orders.models import MAX_LIMIT_BYTES, EventType, LedgerEntry, LedgerReason, Order
from orders.periods import RecurringPeriod

CHUNK: Final = 100
BOUNDARY_REFERENCE: Final = re.compile(r"period-\d{4}-\d\d-\d\d")


def refuse_boundary(reference: str | None) -> None:
    """Raises InvalidInput for a reference that names a boundary, because the order could then not renew there."""
    if reference is not None and BOUNDARY_REFERENCE.fullmatch(reference):
        errors = [FieldError("reference", "Must not be period- and a date.")]
        raise InvalidInput("Such references are reserved for automatic renewals.", errors=errors)


def start_period(
    order: Order, limit_bytes: int | None, now: datetime, *, started_at: datetime | None = None, used: int | None = None
) -> int:
    """Starts a period, by default now, and posts away the remainder of the one before; returns the remainder in bytes.

    ``used`` is the order's total usage at the start of the period, by default the sum of its usage lines. The caller
    holds the order's lock.
    """
    posted = ledger.used_in_total([order.pk])[order.pk]
    used = posted if used is None else used
    left = 0
    if order.traffic_limit_bytes is not None or limit_bytes is not None:
        left = ledger.balance(order) + posted - used
        withdraw_remainder(order, left, now)
    order.traffic_limit_bytes = limit_bytes
    order.added_bytes = 0
    order.used_before_period = used
    order.period_number += 1
    order.period_started_at = started_at or now
    order.period_closed_at = None
    order.save(
        update_fields=[
            "traffic_limit_bytes",
            "added_bytes",
            "used_before_period",
            "period_number",
            "period_started_at",
            "period_closed_at",
        ]
    )
    return left


def withdraw_remainder(order: Order, left: int, now: datetime) -> None:
    """Posts an entry that brings the closing period to zero, for bytes left and for an overrun alike."""
    if left:
        note = f"end of period {order.period_number}"
        ledger.post(order, LedgerReason.ADJUSTMENT, -left, now=now, note=note, closes_period=True)


def schedule(order: Order, now: datetime) -> None:
    """Sets the next renewal: the first boundary after now and after the order's start. Does not save."""
    period = order.period
    order.renews_at = period.next_after(max(now, order.started_at)).at if period else None


def reschedule(order: Order, before: RecurringPeriod, now: datetime) -> None:
    """Sets the next renewal after a change of the period alone. Does not save.

    If its boundaries are on the same days, the order renews next on the same day as before, by the new clock, even if
    that day has begun: no boundary is skipped.
    """
    period = order.period
    if period and order.renews_at and (period.every, period.anchor) == (before.every, before.anchor):
        at = midnight(order.renews_at.astimezone(before.zone).date(), period.zone)
        if at > order.started_at:
            order.renews_at = at
            return
    schedule(order, now)


def skip_missed(order: Order, now: datetime) -> None:
    """Skips the boundaries that passed while the order had expired, except the last. Does not save."""
    if order.period and order.renews_at and order.renews_at <= now and (last := order.period.last_until(now)):
        order.renews_at = last.at


def catch_up(orders: Collection[Order], now: datetime) -> None:
    """Renews the orders at every boundary that passed while they had not expired; their rows are locked.

    Each missed boundary is posted, because each is a purchase. Traffic before a boundary counts in the period before
    it, even if the boundary is posted much later. If the traffic tables cannot be read, the posted usage is used.
    """
    while _renew_next(orders, now):
        pass


def _renew_next(orders: Collection[Order], now: datetime) -> bool:
    """Renews the orders that share the earliest passed boundary; returns whether there was one."""
    due = [order for order in orders if _is_due(order, now)]
    if not due:
        return False
    at = min(order.renews_at for order in due if order.renews_at)
    due = [order for order in due if order.renews_at == at]
    used = traffic.used_before({order.pk: order.user_id for order in due}, at)
    for order in due:
        _renew_at(order, at, used.get(order.pk), now)
    enforcement.publish(due, now)
    return True


def _is_due(order: Order, now: datetime) -> bool:
    at = order.renews_at
    return at is not None and at <= now and not order.has_expired(at)


def _renew_at(order: Order, at: datetime, used: int | None, now: datetime) -> None:
    period = order.period
    assert period is not None  # guaranteed by a constraint of the table
    day = at.astimezone(period.zone).date()
    reference = f"period-{day}"
    order.renews_at = period.next_after(at).at
    # After a change of the time zone a period may have the same day's boundary twice.
    if not LedgerEntry.objects.filter(order=order, reference=reference).exists():
        before = order.period_number
        bought = order.traffic_limit_bytes
        left = start_period(order, bought, now, started_at=at, used=used)
        note = f"renewed every {period.every} in {period.timezone}"
        ledger.post(order, LedgerReason.SERVICE_PURCHASE, bought or 0, now=now, note=note, reference=reference)
        if period.rollover and bought is not None:
            _carry_over(order, min(left, MAX_LIMIT_BYTES - bought), before, now)
        events.record(EventType.RENEWED, order, now, bytes=bought or 0, reference=reference)
    order.save(update_fields=["renews_at", "added_bytes"])


def _carry_over(order: Order, left: int, period_number: int, now: datetime) -> None:
    if left > 0:
        note = f"carried over from period {period_number}"
        ledger.post(order, LedgerReason.ADJUSTMENT, left, now=now, note=note)
        order.added_bytes = left


def renew_due(now: datetime) -> int:
    """Renews all orders at the boundaries that have passed; returns the number of renewals.

    Several processes share the work: each skips orders that another has locked. A transaction covers one boundary of
    some orders, so a process that dies after a long outage keeps its progress.
    """
    done = 0
    while count := _renew_some(now):
        done += count
        if count == CHUNK:
            let_others_write()
    return done


def _renew_some(now: datetime) -> int:
    lives_on = Q(expires_at=None) | Q(expires_at__gt=F("renews_at"))
    due = Order.objects.filter(lives_on, renews_at__lte=now).order_by("renews_at", "pk")
    with transaction.atomic():
        found = list(due.locked(skip_locked=True)[:CHUNK])
        orders = [order for order in found if order.renews_at == found[0].renews_at]
        _renew_next(orders, now)
    return len(orders)
