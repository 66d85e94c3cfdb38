"""Periods of orders: beginning one, taking back what is left of one, and renewing at each recurring boundary.

A recurring renewal has a reference that names its boundary, so that it is posted once: the database refuses a second.
It is one transaction under the order's lock: a process that dies leaves the order due, and another renews it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import F, Q

from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.timerange import midnight
from orders import enforcement, events, ledger, traffic
from orders.models import MAX_LIMIT_BYTES, EventType, LedgerEntry, LedgerReason, Order
from orders.periods import RecurringPeriod

CHUNK: Final = 100
BOUNDARY_REFERENCE: Final = re.compile(r"period-\d{4}-\d\d-\d\d")


def refuse_boundary(reference: str | None) -> None:
    """Raises InvalidInput for a reference that names a boundary: the order would not renew there."""
    if reference is not None and BOUNDARY_REFERENCE.fullmatch(reference):
        errors = [FieldError("reference", "Must not be period- and a date.")]
        raise InvalidInput("Such references are kept for automatic renewals.", errors=errors)


def start_period(
    order: Order, limit_bytes: int | None, now: datetime, *, started_at: datetime | None = None, used: int | None = None
) -> int:
    """Begins a period, by default now, and takes back what was left of the one before; returns that, in bytes.

    ``used`` is what the order had ever used when the period began, by default all that its usage lines say. The caller
    holds the order's lock.
    """
    posted = ledger.used_in_total([order.pk])[order.pk]
    used = posted if used is None else used
    left = 0
    if order.traffic_limit_bytes is not None or limit_bytes is not None:
        left = ledger.balance(order) + posted - used
        take_back(order, left, now)
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


def take_back(order: Order, left: int, now: datetime) -> None:
    """Posts what is left of the period away; an overrun is not carried over either."""
    if left:
        note = f"end of period {order.period_number}"
        ledger.post(order, LedgerReason.ADJUSTMENT, -left, now=now, note=note, closes_period=True)


def schedule(order: Order, now: datetime) -> None:
    """Sets when the order renews next: the first boundary after now and after its start. Does not save it."""
    period = order.period
    order.renews_at = period.next_after(max(now, order.started_at)).at if period else None


def reschedule(order: Order, before: RecurringPeriod, now: datetime) -> None:
    """Sets when the order renews next after a change of its period alone. Does not save it.

    If the days of its boundaries are the same, it renews next on the same day as before, by the new clock, on which
    that day may have begun: no boundary is passed over.
    """
    period = order.period
    if period and order.renews_at and (period.every, period.anchor) == (before.every, before.anchor):
        at = midnight(order.renews_at.astimezone(before.zone).date(), period.zone)
        if at > order.started_at:
            order.renews_at = at
            return
    schedule(order, now)


def skip_missed(order: Order, now: datetime) -> None:
    """Passes over the boundaries that passed while the order had expired, but for the last one. Does not save it."""
    if order.period and order.renews_at and order.renews_at <= now and (last := order.period.last_until(now)):
        order.renews_at = last.at


def catch_up(orders: Collection[Order], now: datetime) -> None:
    """Renews the orders at every boundary that has passed while they had not expired; their rows are locked.

    Each missed boundary is posted, because each is a purchase. Traffic before a boundary counts in the period
    before it, even if the boundary is posted much later. If the traffic tables cannot be read, the usage posted counts.
    """
    while _renew_next(orders, now):
        pass


def _renew_next(orders: Collection[Order], now: datetime) -> bool:
    """Renews at the earliest boundary that has passed, those of the orders that have it; whether there was one."""
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
    assert period is not None  # a constraint of the table
    day = at.astimezone(period.zone).date()
    reference = f"period-{day}"
    order.renews_at = period.next_after(at).at
    # A period that was changed to another time zone may have the day's boundary twice.
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

    Several processes share the work: each skips the orders that another one has locked. A transaction is one boundary
    of some orders, so that a process that dies after an outage of days leaves what it has done.
    """
    done = 0
    while count := _renew_some(now):
        done += count
    return done


def _renew_some(now: datetime) -> int:
    lives_on = Q(expires_at=None) | Q(expires_at__gt=F("renews_at"))
    due = Order.objects.filter(lives_on, renews_at__lte=now).order_by("renews_at", "pk")
    with transaction.atomic():
        found = list(due.select_for_update(skip_locked=True)[:CHUNK])
        orders = [order for order in found if order.renews_at == found[0].renews_at]
        _renew_next(orders, now)
    return len(orders)
