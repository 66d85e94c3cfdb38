"""The life of an order: bought, topped up, renewed, suspended, resumed, expired, refunded, adjusted.

Each is one transaction together with its ledger entry and what is published to the proxies: a process that dies leaves
all of it or nothing. Each may be repeated: a reference that was posted before adds nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.db import transaction
from rest_framework.exceptions import NotFound

from accounts.models import Order, Product, ProxyUser, User
from fonproxy.api.errors import Conflict, FieldError, InvalidInput
from usage import cut_off, ledger
from usage.alerts import services as alerts
from usage.models import LedgerEntry, Reason

CREDITS = (Reason.TOP_UP, Reason.REFUND, Reason.ADJUSTMENT)
MOST_BYTES: Final = 2**53 - 1  # beyond that JSON numbers are not exact everywhere


def buy(
    *,
    user: User,
    product: Product,
    name: str,
    limit_bytes: int | None,
    started_at: datetime,
    expires_at: datetime | None,
    now: datetime,
    external_id: str | None = None,
    author: str = ledger.SYSTEM,
) -> Order:
    """A new order with its first ``service_purchase``, of 0 bytes when it is not metered. Raises InvalidInput."""
    refuse_bad_life(started_at, expires_at)
    with transaction.atomic():
        order = Order.objects.create(
            user=user,
            product=product,
            name=name,
            external_id=external_id,
            traffic_limit_bytes=limit_bytes,
            started_at=started_at,
            period_started_at=started_at,
            expires_at=expires_at,
        )
        opened(order, author=author, now=now)
    return order


def refuse_bad_life(started_at: datetime, expires_at: datetime | None) -> None:
    """Raises InvalidInput for an order that would end before it begins."""
    if expires_at is not None and expires_at < started_at:
        raise InvalidInput(
            "The order would end before it begins.", errors=[FieldError("expiresAt", "Lies before startsAt.")]
        )


def opened(order: Order, *, author: str, now: datetime) -> None:
    """What belongs to an order that has just been created, in the same transaction."""
    ledger.post(order, Reason.SERVICE_PURCHASE, order.traffic_limit_bytes or 0, now=now, author=author)
    alerts.make_default_alerts(order, now)
    close_if_expired(order, now)
    cut_off.publish([order], now)


def credit(
    order: Order, reason: Reason, amount: int, *, reference: str | None, author: str, now: datetime, note: str = ""
) -> tuple[LedgerEntry, bool]:
    """A top-up, refund or adjustment of this period's limit. Returns the entry and whether it is new.

    Raises Conflict for a reference that stands for something else, an order that is not metered or has expired, and
    InvalidInput when an adjustment would leave a limit below zero.
    """
    with transaction.atomic():
        order = locked(order)
        if entry := ledger.earlier(order, reference, reason, amount):
            return entry, False
        if order.limit_bytes is None:
            raise Conflict("The order is not metered: there is nothing to add to.")
        if order.period_closed_at is not None:
            raise Conflict("The order has expired: renew it instead.")
        _refuse_bad_limit(order.limit_bytes + amount, "bytes")
        entry = ledger.post(order, reason, amount, now=now, author=author, note=note, reference=reference)
        order.added_bytes += amount
        order.save(update_fields=["added_bytes"])
        cut_off.publish([order], now)
    return entry, True


def _refuse_bad_limit(limit_bytes: int, field: str) -> None:
    if limit_bytes < 0:
        raise InvalidInput("The limit cannot fall below zero.", errors=[FieldError(field, "Is too little.")])
    if limit_bytes > MOST_BYTES:
        raise InvalidInput(f"The limit cannot exceed {MOST_BYTES} bytes.", errors=[FieldError(field, "Is too much.")])


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
    """A new period that begins now: what was left is taken back, what is bought is added.

    ``amount`` is the new limit, by default the same as before; without ``expires_at`` the order ends when it did.
    Returns the purchase and whether it is new; raises Conflict for a reference that stands for something else.
    """
    with transaction.atomic():
        order = locked(order)
        if entry := ledger.earlier(order, reference, Reason.SERVICE_PURCHASE, amount):
            return entry, False
        bought = order.traffic_limit_bytes if amount is None else amount
        if (expires_at or order.expires_at or now) < now:
            raise Conflict("The order has expired: say until when it is renewed.")
        _start_period(order, bought, now)
        order.expires_at = expires_at or order.expires_at
        order.save(update_fields=["expires_at"])
        purchase = ledger.post(
            order, Reason.SERVICE_PURCHASE, bought or 0, now=now, author=author, note=note, reference=reference
        )
        cut_off.publish([order], now)
    return purchase, True


def _start_period(order: Order, limit_bytes: int | None, now: datetime) -> None:
    if order.traffic_limit_bytes is not None or limit_bytes is not None:
        _take_back(order, now)
    order.traffic_limit_bytes = limit_bytes
    order.added_bytes = 0
    order.carried_before = ledger.carried([order.pk])[order.pk]
    order.period_number += 1
    order.period_started_at = now
    order.period_closed_at = None
    order.save(
        update_fields=[
            "traffic_limit_bytes",
            "added_bytes",
            "carried_before",
            "period_number",
            "period_started_at",
            "period_closed_at",
        ]
    )


def _take_back(order: Order, now: datetime) -> None:
    """Brings the balance to zero. A limit that was overrun is not carried over either."""
    if left := ledger.balance(order):
        note = f"end of period {order.period_number}"
        ledger.post(order, Reason.ADJUSTMENT, -left, now=now, note=note, closes_period=True)


def suspend(order: Order, now: datetime) -> Order:
    """Suspended from now on; one that is suspended already keeps the time."""
    with transaction.atomic():
        order = locked(order)
        if order.suspended_at is None or order.suspended_at > now:
            order.suspended_at = now
            order.save(update_fields=["suspended_at"])
        cut_off.publish([order], now)
    return order


def resume(order: Order, now: datetime) -> Order:
    with transaction.atomic():
        order = locked(order)
        order.suspended_at = None
        order.save(update_fields=["suspended_at"])
        cut_off.publish([order], now)
    return order


def expire(order: Order, now: datetime) -> Order:
    """Ended now, unless it ended before; what is left is taken back."""
    with transaction.atomic():
        order = locked(order)
        if order.expires_at is None or order.expires_at > now:
            order.expires_at = now
            order.save(update_fields=["expires_at"])
        close_if_expired(order, now)
        cut_off.publish([order], now)
    return order


def close_expired(now: datetime) -> int:
    """Takes back what is left of the orders whose time has come; returns how many."""
    due = list(
        Order.objects.filter(expires_at__lte=now, period_closed_at=None).order_by("pk").values_list("pk", flat=True)
    )
    for pk in due:
        with transaction.atomic():
            order = Order.objects.select_for_update().get(pk=pk)
            close_if_expired(order, now)
            cut_off.publish([order], now)
    return len(due)


def close_if_expired(order: Order, now: datetime) -> None:
    """The end of a period by time, once: the caller holds the order's lock."""
    if order.period_closed_at is None and order.expires_at is not None and order.expires_at <= now:
        if order.traffic_limit_bytes is not None:
            _take_back(order, now)
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
) -> Order:
    """Makes the order what it is said to be, within its period; saying the same again changes nothing.

    A limit that changes is adjusted by the difference. Between metered and not a new period begins, because what was
    carried without a limit does not count against one.
    """
    refuse_bad_life(started_at, expires_at)
    with transaction.atomic():
        order = locked(order)
        if order.traffic_limit_bytes != limit_bytes:
            _change_limit(order, limit_bytes, author, now)
        order.name, order.started_at, order.expires_at = name, started_at, expires_at
        if order.period_closed_at is not None:
            if expires_at is None or expires_at > now:
                _reopen(order, now)
            elif order.traffic_limit_bytes is not None:
                _take_back(order, now)
        order.save(update_fields=["name", "started_at", "expires_at", "period_closed_at"])
        close_if_expired(order, now)
        cut_off.publish([order], now)
    return order


def _change_limit(order: Order, limit_bytes: int | None, author: str, now: datetime) -> None:
    before = order.traffic_limit_bytes
    if before is not None and limit_bytes is not None:
        _refuse_bad_limit(limit_bytes + order.added_bytes, "trafficLimitBytes")
    if before is None or limit_bytes is None:
        _start_period(order, limit_bytes, now)
        ledger.post(order, Reason.SERVICE_PURCHASE, limit_bytes or 0, now=now, author=author, note="limit changed")
        return
    note = f"limit changed from {before} to {limit_bytes} bytes"
    ledger.post(order, Reason.ADJUSTMENT, limit_bytes - before, now=now, author=author, note=note)
    order.traffic_limit_bytes = limit_bytes
    order.save(update_fields=["traffic_limit_bytes"])


def _reopen(order: Order, now: datetime) -> None:
    """An order that had ended goes on in the same period: what was taken back is given back."""
    if taken := ledger.closings([order])[order.pk]:
        ledger.post(order, Reason.ADJUSTMENT, -taken, now=now, note="extended", closes_period=True)
    order.period_closed_at = None


def set_logins(order: Order, logins: Collection[str], now: datetime) -> None:
    """Exactly these proxy logins belong to the order; proxies are told of what that changes for them.

    Raises Conflict when one belongs to another order.
    """
    with transaction.atomic():
        order = locked(order)
        taken = ProxyUser.objects.filter(login__in=logins).exclude(order=order).values_list("login", flat=True)
        if taken:
            raise Conflict(f"The proxy user {sorted(taken)[0]!r} belongs to another order.")
        held = set(order.proxy_users.values_list("login", flat=True))
        order.proxy_users.filter(login__in=held - set(logins)).delete()
        ProxyUser.objects.bulk_create([ProxyUser(order=order, login=login) for login in sorted(set(logins) - held)])
        cut_off.publish_logins(order, held, set(logins), now)


def locked(order: Order) -> Order:
    """The order as it is now, held until the transaction ends: whoever else changes it waits.

    Raises NotFound for one that was erased meanwhile.
    """
    found = Order.objects.select_for_update(of=("self",)).select_related("product", "user").filter(pk=order.pk).first()
    if found is None:
        raise NotFound
    return found
