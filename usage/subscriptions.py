"""Orders as subscriptions: limit, usage, balance and projected exhaustion."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q, QuerySet

from fonproxy.timerange import DAY
from orders import ledger, selectors
from orders.models import LedgerEntry, LedgerReason, Order, OrderStatus, has_expired, has_limit, is_suspended
from usage.models import Firing
from usage.periods import day_of

PACE_DAYS: Final = 7
SOON: Final = timedelta(days=3)
MIN_PERIOD: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes of an order's current period; ``limit`` and ``left`` are None without a positive limit."""

    limit: int | None
    used: int
    left: int | None


def accounts_of(orders: Collection[Order]) -> dict[int, Allowance]:
    """The allowances by order id; ``left`` is never below zero."""
    used = ledger.used(orders)
    balances = ledger.balances([order.pk for order in orders])
    return {
        order.pk: Allowance(order.limit_bytes, used[order.pk], max(balances[order.pk], 0))
        if order.has_limit
        else Allowance(None, used[order.pk], None)
        for order in orders
    }


def subscriptions_of(
    user_id: int, now: datetime, *, status: str | None = None, product_type: str | None = None, metered: bool = True
) -> QuerySet[Order]:
    """The customer's orders with a positive limit, or those without, newest first.

    ``product_type`` is a network or a proxy type.
    """
    found = selectors.orders_of(user_id).filter(has_limit() if metered else ~has_limit()).order_by("-created_at", "-pk")
    if status:
        found = found.filter(_has_status(OrderStatus(status), now))
    if product_type:
        found = found.filter(Q(product__network=product_type) | Q(product__proxy_type=product_type))
    return found


def _has_status(status: OrderStatus, now: datetime) -> Q:
    """``Order.status`` as a condition."""
    expired, suspended = has_expired(now), is_suspended(now)
    return {
        OrderStatus.EXPIRED: expired,
        OrderStatus.SUSPENDED: suspended & ~expired,
        OrderStatus.ACTIVE: ~suspended & ~expired,
    }[status]


def ending_soon(now: datetime) -> QuerySet[Order]:
    """Orders of all customers that expire within three days, or run out by then according to their latest alerts."""
    until = now + SOON
    foreseen = Firing.objects.filter(runs_out_at__gt=now, runs_out_at__lte=until).values("alert__order_id")
    return Order.objects.filter(~has_expired(now), has_expired(until) | Q(pk__in=foreseen))


def projected_exhaustions(
    orders: Collection[Order], accounts: Mapping[int, Allowance], now: datetime
) -> dict[int, datetime | None]:
    """When each order runs out at the pace of the last seven days; None if it expires before."""
    week = day_of(now) - (PACE_DAYS - 1) * DAY
    since = {order.pk: max(week, order.started_at) for order in orders}
    used = dict.fromkeys(since, 0)
    lines = LedgerEntry.objects.filter(order__in=since, reason=LedgerReason.USAGE, usage_day__gte=week.date())
    for order_id, day, size in lines.values_list("order_id", "period_date", "bytes"):
        if day >= day_of(since[order_id]).date():
            used[order_id] -= size
    found: dict[int, datetime | None] = {}
    for order in orders:
        left = accounts[order.pk].left
        during = max(now - since[order.pk], MIN_PERIOD)
        at = None if left is None else run_out(left, used[order.pk], during, now)
        found[order.pk] = None if at is None or order.has_expired(at) else at
    return found


def run_out(left: int, used: int, during: timedelta, now: datetime) -> datetime | None:
    """When ``left`` bytes are used up at the pace of ``used`` bytes during that time; None if in over a year."""
    if left <= 0:
        return now
    if used <= 0 or during <= timedelta(0):
        return None
    seconds = left * during.total_seconds() / used
    return now + timedelta(seconds=seconds) if seconds < timedelta(days=365).total_seconds() else None
