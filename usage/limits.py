"""Stops logins and orders that reach their own limits, and releases them.

Usage is read from the traffic tables each time, so repeating is harmless. Metering enforces limits in the transaction
that accounts for a batch: if the process dies before the commit, both are done again. ``check_due`` checks changed
limits, and all limits at the start of each day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, QuerySet

from analytics import reports
from fonproxy.sqlite import let_others_write
from orders import enforcement, proxy_users
from orders.limits import Used, Windows, stopped_until
from orders.models import Order, ProxyUser

CHUNK: Final = 500

T = TypeVar("T")


class Locked(NamedTuple):
    """Orders and logins with limits, locked until the transaction ends; each login has its order."""

    orders: list[Order]
    users: list[ProxyUser]


def lock(order_ids: Collection[int]) -> Locked:
    """Locks the orders; returns those of them and of their logins that have limits. Call it before anything is
    published.

    ``orders.proxy_users.lock`` explains the order of locks.
    """
    orders = list(Order.objects.locked().filter(pk__in=order_ids).order_by("pk"))
    limited = ProxyUser.objects.filter(order__in=order_ids, limits_due_at__isnull=False)
    return Locked([order for order in orders if order.limits_due_at is not None], _locked(limited))


def _locked(users: QuerySet[ProxyUser]) -> list[ProxyUser]:
    return list(users.select_for_update(of=("self",)).select_related("order").order_by("pk"))


def enforce(locked: Locked, now: datetime) -> None:
    """Stops and releases logins and orders according to the usage until now. Raises EngineError."""
    _judge_orders(locked.orders, now)
    _judge_logins(locked.users, now)


def check_due(now: datetime) -> None:
    """Checks the limits that are due, those of stopped logins first. Raises EngineError."""
    while count := _check_some_due(now):
        if count >= CHUNK:
            let_others_write()


def _check_some_due(now: datetime) -> int:
    """The number of those that were due."""
    due = ProxyUser.objects.filter(limits_due_at__lte=now)
    first = due.order_by(F("stopped_until").asc(nulls_last=True), "pk")
    found = dict(first.values_list("pk", "order")[:CHUNK])
    due_orders = set(Order.objects.filter(limits_due_at__lte=now).order_by("pk").values_list("pk", flat=True)[:CHUNK])
    if not found and not due_orders:
        return 0
    with transaction.atomic():
        affected = {*found.values(), *due_orders}
        orders = list(Order.objects.locked().filter(pk__in=affected).order_by("pk"))
        users = _locked(ProxyUser.objects.filter(pk__in=found))
        enforce(Locked([order for order in orders if order.pk in due_orders], users), now)
    return len(found) + len(due_orders)


def _judge_logins(users: Collection[ProxyUser], now: datetime) -> None:
    limited = [user for user in users if any(user.limits)]
    used = used_by(limited, now, ever=any(user.limits.total for user in limited))
    windows = {user: Windows.at(now, user.order.zone) for user in users}
    ends = {
        user: stopped_until(user.limits, used.get(user.pk, Used()), windows[user]) if any(user.limits) else None
        for user in users
    }
    due_at = {user: windows[user].next_day if any(user.limits) else None for user in users}
    proxy_users.stop(ends, due_at, now)


def _judge_orders(orders: Collection[Order], now: datetime) -> None:
    for zone, of_zone in _by_zone((order, order.zone) for order in orders):
        windows = Windows.at(now, zone)
        limited = {order.pk: order.user_id for order in of_zone if any(order.limits)}
        used = reports.bytes_between(limited, windows.day, windows.next_day) if limited else {}
        for order in of_zone:
            end = stopped_until(order.limits, Used(used.get(order.pk, 0)), windows)
            due_at = windows.next_day if any(order.limits) else None
            if (order.stopped_until, order.limits_due_at) != (end, due_at):
                order.stopped_until, order.limits_due_at = end, due_at
                order.save(update_fields=["stopped_until", "limits_due_at"])
    enforcement.publish(orders, now)


def used_by(users: Collection[ProxyUser], now: datetime, *, ever: bool = True) -> dict[int, Used]:
    """The usage of each proxy user, with its order, in the day and month of its order's zone, and in total.

    Without ``ever`` the total may be too small. Raises EngineError.
    """
    found: dict[int, Used] = {}
    for zone, of_zone in _by_zone((user, user.order.zone) for user in users):
        owners = {user.pk: user.order.user_id for user in of_zone}
        found |= reports.used_by_logins(owners, Windows.at(now, zone), ever=ever)
    return found


def _by_zone(items: Iterable[tuple[T, ZoneInfo]]) -> Iterator[tuple[ZoneInfo, list[T]]]:
    groups: defaultdict[ZoneInfo, list[T]] = defaultdict(list)
    for item, zone in items:
        groups[zone].append(item)
    yield from groups.items()
