"""A customer's orders as subscriptions: what they may carry, have carried, and when they will run out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Q, QuerySet

from accounts import selectors
from accounts.models import Order, OrderStatus
from fonproxy.timerange import DAY
from usage import ledger
from usage.models import Firing, LedgerEntry, Reason
from usage.periods import day_of

PACE_DAYS: Final = 7
SOON: Final = timedelta(days=3)
SHORTEST: Final = timedelta(minutes=1)
HAS_LIMIT: Final = Q(traffic_limit_bytes__isnull=False) & ~Q(traffic_limit_bytes__lte=-F("added_bytes"))


@dataclass(frozen=True, slots=True)
class Account:
    """Bytes of one order's current period; ``limit`` and ``left`` are None where there is no positive limit."""

    limit: int | None
    used: int
    left: int | None


def accounts_of(orders: Collection[Order]) -> dict[int, Account]:
    """The accounts by order id. What is left is never below zero, however much a limit was overrun."""
    used = ledger.used(orders)
    balances = ledger.balances([order.pk for order in orders])
    return {
        order.pk: Account(order.limit_bytes, used[order.pk], max(balances[order.pk], 0))
        if (order.limit_bytes or 0) > 0
        else Account(None, used[order.pk], None)
        for order in orders
    }


def subscriptions_of(
    user_id: int, now: datetime, *, status: str | None = None, proxy_type: str | None = None, metered: bool = True
) -> QuerySet[Order]:
    """The customer's orders with a positive limit, or those without, newest first."""
    found = selectors.orders_of(user_id).filter(HAS_LIMIT if metered else ~HAS_LIMIT).order_by("-created_at", "-pk")
    if status:
        found = found.filter(_has_status(OrderStatus(status), now))
    return found.filter(product__proxy_type=proxy_type) if proxy_type else found


def _has_status(status: OrderStatus, now: datetime) -> Q:
    """The same as ``Order.status``, for the database."""
    ended = Q(expires_at__isnull=False, expires_at__lte=now)
    stopped = Q(suspended_at__isnull=False, suspended_at__lte=now)
    return {
        OrderStatus.EXPIRED: ended,
        OrderStatus.SUSPENDED: stopped & ~ended,
        OrderStatus.ACTIVE: ~stopped & ~ended,
    }[status]


def ending_soon(now: datetime) -> QuerySet[Order]:
    """Over all customers: orders that expire within three days, or run out by what their latest alerts foresaw."""
    until = now + SOON
    foreseen = Firing.objects.filter(runs_out_at__gt=now, runs_out_at__lte=until).values("alert__order_id")
    ends = Q(expires_at__gt=now, expires_at__lte=until)
    return Order.objects.filter(ends | Q(pk__in=foreseen)).exclude(expires_at__lte=now)


def projected_exhaustions(
    orders: Collection[Order], accounts: Mapping[int, Account], now: datetime
) -> dict[int, datetime | None]:
    """When each order runs out at the pace of the last seven days; None when it does not before it expires."""
    week = day_of(now) - (PACE_DAYS - 1) * DAY
    since = {order.pk: max(week, order.started_at) for order in orders}
    carried = dict.fromkeys(since, 0)
    lines = LedgerEntry.objects.filter(order__in=since, reason=Reason.USAGE, usage_day__gte=week.date())
    for order_id, day, size in lines.values_list("order_id", "period_date", "bytes"):
        if day >= day_of(since[order_id]).date():
            carried[order_id] -= size
    found: dict[int, datetime | None] = {}
    for order in orders:
        left = accounts[order.pk].left
        during = max(now - since[order.pk], SHORTEST)
        at = None if left is None else run_out(left, carried[order.pk], during, now)
        found[order.pk] = None if at is None or (order.expires_at is not None and at >= order.expires_at) else at
    return found


def run_out(left: int, carried: int, during: timedelta, now: datetime) -> datetime | None:
    """Pure: when ``left`` bytes are used up by whoever carried so many during that time; None when never.

    Nor is anything foreseen for more than a year ahead.
    """
    if left <= 0:
        return now
    if carried <= 0 or during <= timedelta(0):
        return None
    seconds = left * during.total_seconds() / carried
    return now + timedelta(seconds=seconds) if seconds < timedelta(days=365).total_seconds() else None
