"""Changes of an order: purchase, credits, renewal, suspension, expiry and logins.

Each is one transaction together with its ledger entry and the state published to gateways: a process that dies leaves
all of it or nothing. Each may be repeated: a reference that was posted before adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from django.db import transaction
from rest_framework.exceptions import NotFound

from accounts.models import User
from fonproxy.api.errors import Conflict, FieldError, InvalidInput
from fonproxy.sqlite import let_others_write
from orders import enforcement, events, ledger, proxy_users, renewals
from orders.limits import AT_ONCE
from orders.models import (
    MAX_LIMIT_BYTES,
    EventType,
    LedgerEntry,
    LedgerReason,
    Order,
    OrderStatus,
    Product,
    ProxyUser,
    has_expired,
)
from orders.periods import RecurringPeriod
from orders.signals import order_opened

CREDITS = (LedgerReason.TOP_UP, LedgerReason.REFUND, LedgerReason.ADJUSTMENT)
CHANGED_FIELDS: Final = ("name", "started_at", "expires_at", "period_closed_at", "day_limit_bytes", "limits_due_at")
# After so many short transactions other writers get a turn.
CLOSED_IN_A_ROW: Final = 100
PERIOD_FIELDS: Final = ("period_every", "period_anchor", "period_timezone", "period_rollover", "renews_at")


def buy(
    *,
    user: User,
    product: Product,
    name: str,
    limit_bytes: int | None,
    started_at: datetime,
    expires_at: datetime | None,
    now: datetime,
    period: RecurringPeriod | None = None,
    day_limit_bytes: int | None = None,
    external_id: str | None = None,
    author: str = ledger.SYSTEM,
) -> Order:
    """A new order with its first ``service_purchase``, of 0 bytes when it is not metered. Raises InvalidInput."""
    refuse_bad_life(started_at, expires_at)
    with transaction.atomic():
        order = Order(
            user=user,
            product=product,
            name=name,
            external_id=external_id,
            traffic_limit_bytes=limit_bytes,
            started_at=started_at,
            period_started_at=started_at,
            expires_at=expires_at,
            day_limit_bytes=day_limit_bytes,
            limits_due_at=AT_ONCE if day_limit_bytes is not None else None,
        )
        order.period = period
        renewals.schedule(order, now)
        order.save(force_insert=True)
        opened(order, author=author, now=now)
    return order


def refuse_bad_life(started_at: datetime, expires_at: datetime | None) -> None:
    """Raises InvalidInput for an order that would end before it begins."""
    if expires_at is not None and expires_at < started_at:
        raise InvalidInput("The order ends before it begins.", errors=[FieldError("expiresAt", "Is before startsAt.")])


def opened(order: Order, *, author: str, now: datetime) -> None:
    """Completes the creation of an order, in the same transaction."""
    ledger.post(order, LedgerReason.SERVICE_PURCHASE, order.traffic_limit_bytes or 0, now=now, author=author)
    order_opened.send(Order, order=order, now=now)
    close_if_expired(order, now)
    enforcement.publish([order], now)


def credit(
    order: Order,
    reason: LedgerReason,
    amount: int,
    *,
    reference: str | None,
    author: str,
    now: datetime,
    note: str = "",
) -> tuple[LedgerEntry, bool]:
    """Posts a top-up, refund or adjustment of this period's limit; returns the entry and whether it is new.

    Raises Conflict for a reference of another posting and for an order that is not metered or has expired, and
    InvalidInput when an adjustment would make the limit negative.
    """
    with transaction.atomic():
        order = _current(order, now)
        if entry := ledger.earlier(order, reference, reason, amount):
            return entry, False
        renewals.refuse_boundary(reference)
        if order.limit_bytes is None:
            raise Conflict("The order is unmetered: it has no limit to change.")
        if order.period_closed_at is not None:
            raise Conflict("The order has expired: renew it instead.")
        _refuse_bad_limit(order.limit_bytes + amount, "bytes")
        entry = ledger.post(order, reason, amount, now=now, author=author, note=note, reference=reference)
        order.added_bytes += amount
        order.save(update_fields=["added_bytes"])
        if reason == LedgerReason.TOP_UP:
            events.record(EventType.TOPPED_UP, order, now, bytes=entry.bytes, reference=entry.reference)
        enforcement.publish([order], now)
    return entry, True


def _refuse_bad_limit(limit_bytes: int, field: str) -> None:
    if limit_bytes < 0:
        raise InvalidInput("The limit cannot fall below zero.", errors=[FieldError(field, "Is too low.")])
    if limit_bytes > MAX_LIMIT_BYTES:
        raise InvalidInput(
            f"The limit cannot exceed {MAX_LIMIT_BYTES} bytes.", errors=[FieldError(field, "Is too high.")]
        )


def renew(
    order: Order,
    *,
    reference: str | None,
    author: str,
    now: datetime,
    amount: int | None = None,
    expires_at: datetime | None = None,
    note: str = "",
) -> tuple[LedgerEntry, bool]:
    """Starts a new period now: withdraws the remainder and adds the purchase.

    ``amount`` is the new limit, by default the same as before; without ``expires_at`` the end stays the same. Returns
    the purchase and whether it is new; raises Conflict for a reference of another posting, and InvalidInput for a limit
    that is too high or an end before the start.
    """
    with transaction.atomic():
        order = _current(order, now)
        if entry := ledger.earlier(order, reference, LedgerReason.SERVICE_PURCHASE, amount):
            return entry, False
        renewals.refuse_boundary(reference)
        bought = order.traffic_limit_bytes if amount is None else amount
        if (expires_at or order.expires_at or now) < now:
            raise Conflict("The order has expired: expiresAt is required to renew it.")
        if expires_at is not None:
            refuse_bad_life(order.started_at, expires_at)
        if bought is not None:
            _refuse_bad_limit(bought, "bytes")
        renewals.start_period(order, bought, now)
        order.expires_at = expires_at or order.expires_at
        if order.renews_at is not None and order.renews_at <= now:  # the order had expired
            renewals.schedule(order, now)
        order.save(update_fields=["expires_at", "renews_at"])
        purchase = ledger.post(
            order, LedgerReason.SERVICE_PURCHASE, bought or 0, now=now, author=author, note=note, reference=reference
        )
        events.record(EventType.RENEWED, order, now, bytes=purchase.bytes, reference=purchase.reference)
        enforcement.publish([order], now)
    return purchase, True


def suspend(order: Order, now: datetime) -> Order:
    """Suspends the order from now on; an already suspended order keeps its time."""
    with transaction.atomic():
        order = locked(order)
        if order.suspended_at is None or order.suspended_at > now:
            order.suspended_at = now
            order.save(update_fields=["suspended_at"])
        enforcement.publish([order], now)
    return order


def resume(order: Order, now: datetime) -> Order:
    """Resumes the order. Raises Conflict for an expired order: only a renewal reactivates it."""
    with transaction.atomic():
        order = locked(order)
        if order.status(now) == OrderStatus.EXPIRED:
            raise Conflict("The order has expired: renew it instead.")
        order.suspended_at = None
        order.save(update_fields=["suspended_at"])
        enforcement.publish([order], now)
    return order


def expire(order: Order, now: datetime) -> Order:
    """Ends the order now unless it has ended; posts the remainder away."""
    with transaction.atomic():
        order = _current(order, now)
        if not order.has_expired(now):
            order.expires_at = now
            order.save(update_fields=["expires_at"])
        close_if_expired(order, now)
        enforcement.publish([order], now)
    return order


def close_expired(now: datetime) -> int:
    """Closes orders that have expired; returns their number."""
    due = list(
        Order.objects.filter(has_expired(now), period_closed_at=None).order_by("pk").values_list("pk", flat=True)
    )
    for number, pk in enumerate(due, 1):
        with transaction.atomic():
            order = Order.objects.locked().filter(pk=pk).first()
            if order is not None:  # it may have been erased in the meantime
                close_if_expired(order, now)
                enforcement.publish([order], now)
        if number % CLOSED_IN_A_ROW == 0:
            let_others_write()
    return len(due)


def close_if_expired(order: Order, now: datetime) -> None:
    """Closes the period of an expired order, once; the caller holds the order's lock."""
    if order.period_closed_at is None and order.has_expired(now):
        renewals.catch_up([order], now)
        if order.traffic_limit_bytes is not None:
            renewals.withdraw_remainder(order, ledger.balance(order), now)
        order.period_closed_at = now
        order.save(update_fields=["period_closed_at"])


def change(
    order: Order,
    *,
    author: str,
    now: datetime,
    name: str,
    limit_bytes: int | None,
    started_at: datetime,
    expires_at: datetime | None,
    period: RecurringPeriod | None,
    day_limit_bytes: int | None,
    zone: str | None = None,
) -> Order:
    """Changes the given fields of the order within its period; the same values again change nothing.

    A changed limit is adjusted by the difference. Adding or removing the limit starts a new period, because traffic
    without a limit does not count against one. ``period`` decides later renewals. Passed boundaries are renewed first;
    of those that passed while the order had expired, only that of the current period. ``zone`` is the zone of days
    without a period. Limits are checked again within seconds.
    """
    with transaction.atomic():
        order = locked(order)
        if (started_at, expires_at) != (order.started_at, order.expires_at):  # it may have ended before it began
            refuse_bad_life(started_at, expires_at)
        proxy_users.lock([order])
        renewals.catch_up([order], now)
        before = (order.limits, order.period_timezone)
        if order.traffic_limit_bytes != limit_bytes:
            _change_limit(order, limit_bytes, author, now)
        was_expired = order.has_expired(now)
        old_period, is_moved = order.period, order.started_at != started_at
        order.name, order.started_at, order.expires_at, order.period = name, started_at, expires_at, period
        order.period_timezone = period.timezone if period else zone or order.period_timezone
        order.day_limit_bytes = day_limit_bytes
        if (order.limits, order.period_timezone) != before:
            order.limits_due_at = AT_ONCE
            ProxyUser.objects.filter(order=order, limits_due_at__isnull=False).update(limits_due_at=AT_ONCE)
        _schedule_again(order, None if is_moved else old_period, now, was_expired=was_expired)
        order.save(update_fields=[*CHANGED_FIELDS, *PERIOD_FIELDS])
        renewals.catch_up([order], now)
        close_if_expired(order, now)
        enforcement.publish([order], now)
    return order


def _schedule_again(order: Order, old: RecurringPeriod | None, now: datetime, *, was_expired: bool) -> None:
    """Sets the next renewal after a change of period, start or end, and closes or reopens the period. Does not save.

    Without ``old`` the order renews at the first boundary after now and after its start.
    """
    if old is None:
        renewals.schedule(order, now)
    elif old != order.period:
        renewals.reschedule(order, old, now)
    if was_expired:
        renewals.skip_missed(order, now)
    if order.period_closed_at is None:
        return
    if not order.has_expired(now):
        _reopen(order, now)
    elif order.traffic_limit_bytes is not None:
        renewals.withdraw_remainder(order, ledger.balance(order), now)


def _change_limit(order: Order, limit_bytes: int | None, author: str, now: datetime) -> None:
    before = order.traffic_limit_bytes
    if before is not None and limit_bytes is not None:
        _refuse_bad_limit(limit_bytes + order.added_bytes, "trafficLimitBytes")
    if before is None or limit_bytes is None:
        renewals.start_period(order, limit_bytes, now)
        ledger.post(
            order, LedgerReason.SERVICE_PURCHASE, limit_bytes or 0, now=now, author=author, note="limit changed"
        )
        return
    note = f"limit changed from {before} to {limit_bytes} bytes"
    ledger.post(order, LedgerReason.ADJUSTMENT, limit_bytes - before, now=now, author=author, note=note)
    order.traffic_limit_bytes = limit_bytes
    order.save(update_fields=["traffic_limit_bytes"])


def _reopen(order: Order, now: datetime) -> None:
    """Continues the period of an order that had ended: posts the withdrawn remainder back."""
    if taken := ledger.closings([order])[order.pk]:
        ledger.post(order, LedgerReason.ADJUSTMENT, -taken, now=now, note="extended", closes_period=True)
    order.period_closed_at = None


def set_logins(order: Order, wanted: Mapping[str, proxy_users.Settings], now: datetime) -> None:
    """Gives the order exactly these logins with these settings, and publishes the changes.

    Raises Conflict when one belongs to another order.
    """
    with transaction.atomic():
        proxy_users.put(locked(order), wanted, now)


def _current(order: Order, now: datetime) -> Order:
    """The order, locked, and renewed at passed boundaries, so that the change belongs to the current period."""
    order = locked(order)
    renewals.catch_up([order], now)
    return order


def locked(order: Order) -> Order:
    """The current order, locked until the transaction ends. Raises NotFound if it was erased concurrently."""
    found = Order.objects.locked().select_related("product", "user").filter(pk=order.pk).first()
    if found is None:
        raise NotFound
    return found
