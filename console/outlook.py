"""Orders that run out or end next, customers who stopped using their proxies, and new ones without traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum

from accounts.models import User
from console.customer import OrderLine, order_lines
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import DAY
from fonproxy.units import amount
from orders.models import CutOff, LedgerEntry, LedgerReason, Order, has_expired, has_limit, is_suspended
from usage.periods import day_of
from usage.subscriptions import PACE_DAYS

MAX_ROWS: Final = 200
MAX_CANDIDATES: Final = 2000
AGES: Final = ((3, PACE_DAYS), (1, 3))
"""Age classes of orders in days, youngest first; all younger orders are checked."""
QUIET: Final = timedelta(days=7)
BEFORE: Final = timedelta(days=30)
NEW: Final = timedelta(days=30)

_STOPPED: Final = """
SELECT user_id, max(day) AS last, sum(bytes_sent) + sum(bytes_received) AS size FROM daily_network
WHERE day >= {since:Date} GROUP BY user_id HAVING last < {quiet:Date}
ORDER BY size DESC, user_id LIMIT {most:UInt32}
"""
SORTS: Final = {
    "eta": lambda line: (line.runs_out_at is None, line.runs_out_at, line.order.pk),
    "share": lambda line: (line.percent_left is None, line.percent_left, line.order.pk),
    "customer": lambda line: (line.order.user.username.lower(), line.order.pk),
    "ends": lambda line: (line.order.expires_at is None, line.order.expires_at, line.order.pk),
}


def running_out(within: timedelta, now: datetime, sort: str = "eta") -> list[OrderLine]:
    """Orders that run out within that time at the pace of the last seven days, or ran out as recently; at most 200."""
    candidates = {*_by_pace(within, now), *_exhausted(now - within)}
    orders = Order.objects.filter(~has_expired(now), ~is_suspended(now), has_limit(), pk__in=candidates)
    orders = orders.select_related("user", "product")
    lines = order_lines(list(orders), now)
    due = [line for line in lines if line.runs_out_at is not None and line.runs_out_at <= now + within]
    return sorted(due, key=SORTS[sort])[:MAX_ROWS]


def _by_pace(within: timedelta, now: datetime) -> list[int]:
    """Orders that may run out in time: one pass over the ledger, exact for those older than the days of the pace.

    The pace of a younger order is over its age, for which only a lower bound is known here; the caller computes it.
    """
    week = day_of(now) - (PACE_DAYS - 1) * DAY
    # Only usage lines have a day, so the index of the ledger is enough.
    paced = -Sum("bytes", filter=Q(usage_day__gte=week.date()))
    sums = LedgerEntry.objects.order_by().values(number=F("order_id")).annotate(left=Sum("bytes"), paced=paced)
    # The days of the pace: the six days before, and today so far.
    may = _fits(within, max((now - week) / DAY, 1))
    for youngest, oldest in AGES:
        may |= Q(number__in=_started_after(max(now - oldest * DAY, week))) & _fits(within, youngest)
    may |= Q(number__in=_started_after(now - AGES[-1][0] * DAY))
    found = sums.filter(may, left__gt=0, paced__gt=0).order_by("left")
    return list(found.values_list("number", flat=True)[:MAX_CANDIDATES])


def _fits(within: timedelta, days: float) -> Q:
    """Whether the bytes left are used up in time, if ``paced`` bytes were used in that many days."""
    return Q(left__lte=F("paced") * (within / DAY / days))


def _started_after(at: datetime) -> QuerySet[Order, Any]:
    return Order.objects.filter(started_at__gt=at).values("pk")


def _exhausted(since: datetime) -> list[int]:
    found = CutOff.objects.filter(state=CutOff.State.EXHAUSTED, changed_at__gte=since).order_by("-changed_at")
    return list(found.values_list("order_id", flat=True)[:MAX_ROWS])


def ending(within: timedelta, now: datetime, sort: str = "ends") -> list[OrderLine]:
    """Orders that end within that time, the next one first; at most 200."""
    until = now + within
    orders = Order.objects.filter(expires_at__gt=now, expires_at__lte=until).exclude(is_suspended(now))
    lines = order_lines(list(orders.select_related("user", "product").order_by("expires_at", "pk")[:MAX_ROWS]), now)
    return sorted(lines, key=SORTS[sort])


@dataclass(frozen=True, slots=True)
class CustomerLine:
    """A customer with the last day of traffic and its amount in the 30 days before, if any."""

    user: User
    orders: int
    last_day: date | None = None
    traffic: str = ""


def stopped_using(now: datetime) -> list[CustomerLine]:
    """Customers with an active order and no traffic for a week, by their traffic before; raises EngineError."""
    today = day_of(now)
    days = {"since": (today - QUIET - BEFORE).date(), "quiet": (today - QUIET).date()}
    rows = get_client().fetch(_STOPPED, {**days, "most": 5 * MAX_ROWS}, tag="console.stopped_using")
    users = _with_active_orders(now).in_bulk([row[0] for row in rows])
    return [
        CustomerLine(users[number], users[number].active_orders, last, amount(size))
        for number, last, size in rows
        if number in users
    ][:MAX_ROWS]


def never_used(now: datetime) -> list[CustomerLine]:
    """Customers of the last 30 days with an active order and no traffic so far, newest first."""
    used = LedgerEntry.objects.filter(order__user=OuterRef("pk"), reason=LedgerReason.USAGE)
    users = _with_active_orders(now).filter(~Exists(used), date_joined__gte=now - NEW)
    return [CustomerLine(user, user.active_orders) for user in users.order_by("-date_joined")[:MAX_ROWS]]


def _with_active_orders(now: datetime) -> Any:
    """Customers with at least one active order, in ``active_orders``."""
    is_active = ~has_expired(now, "orders__") & ~Q(orders__suspended_at__lte=now) & Q(orders__isnull=False)
    customers = User.objects.filter(is_active=True, is_staff=False, is_superuser=False)
    return customers.annotate(active_orders=Count("orders", filter=is_active)).filter(active_orders__gt=0)
