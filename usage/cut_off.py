"""Whose traffic the proxies have to stop or may carry again, in the order in which it was decided."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from accounts.models import Order, OrderStatus
from fonproxy import ids
from usage import ledger
from usage.models import CutOff, CutOffCounter, ErasedOrder, StoppedLogin

State = CutOff.State
ERASED_TOLD: Final = timedelta(days=30)


def state_of(order: Order, balance: int, now: datetime) -> State:
    """Pure: what the facts say. An order is exhausted when nothing is left of a limit."""
    status = order.status(now)
    if status == OrderStatus.EXPIRED:
        return State.EXPIRED
    if status == OrderStatus.SUSPENDED:
        return State.SUSPENDED
    if order.limit_bytes is not None and balance <= 0:
        return State.EXHAUSTED
    return State.ACTIVE


def publish(orders: Collection[Order], now: datetime, *, anew: bool = False) -> None:
    """Publishes the state of those orders whose state is another than last time, or ``anew`` of all of them.

    Called with the orders' rows locked, in the transaction of whatever changed them. A new order that is active has
    nothing to be published: proxies carry what they have not been told to stop.
    """
    balances = ledger.balances([order.pk for order in orders])
    known = dict(CutOff.objects.filter(order__in=orders).values_list("order_id", "state"))
    changed = [
        (order, state)
        for order in orders
        if (state := state_of(order, balances[order.pk], now)) != known.get(order.pk, State.ACTIVE) or anew
    ]
    if changed:
        first = _take_numbers(len(changed))
        for number, (order, state) in enumerate(changed, first):
            CutOff.objects.update_or_create(order=order, defaults={"state": state, "number": number, "changed_at": now})


def _take_numbers(count: int) -> int:
    """The first of so many numbers. Whoever else wants one waits for this transaction: so no reader, having seen a
    number, can miss a smaller one that was committed later."""
    CutOffCounter.objects.get_or_create(pk=1)
    counter = CutOffCounter.objects.select_for_update().get(pk=1)
    counter.last += count
    counter.save(update_fields=["last"])
    return counter.last - count + 1


def publish_logins(order: Order, before: set[str], after: set[str], now: datetime) -> None:
    """Publishes the order again when proxies would otherwise treat its logins wrongly; its row is locked.

    Those that join a stopped order have to be stopped. Those that leave one are remembered, so that the order that
    they join one day is told as one to carry.
    """
    is_stopped = CutOff.objects.filter(order=order).exclude(state=State.ACTIVE).exists()
    if is_stopped:
        _remember_stopped(before - after, now)
    joined = after - before
    came_back = StoppedLogin.objects.filter(login__in=joined).delete()[0]
    if came_back or (joined and is_stopped):
        publish([order], now, anew=True)


def _remember_stopped(logins: Collection[str], now: datetime) -> None:
    StoppedLogin.objects.bulk_create([StoppedLogin(login=login, since=now) for login in logins], ignore_conflicts=True)


def publish_erased(orders: Collection[Order], now: datetime) -> None:
    """Publishes, once, that orders are gone, with the logins that they have. In the transaction that deletes those."""
    known = set(
        ErasedOrder.objects.filter(order_number__in=[order.pk for order in orders]).values_list("pk", flat=True)
    )
    gone = [order for order in orders if order.pk not in known]
    if gone:
        for number, order in enumerate(gone, _take_numbers(len(gone))):
            logins = sorted(order.proxy_users.values_list("login", flat=True))
            ErasedOrder.objects.create(
                order_number=order.pk,
                user_number=order.user_id,
                external_id=order.external_id,
                logins=logins,
                number=number,
                erased_at=now,
            )
            _remember_stopped(logins, now)


def forget_erased(now: datetime) -> int:
    """Deletes what is still known of orders and logins that were taken away long ago; returns how many."""
    orders = ErasedOrder.objects.filter(erased_at__lt=now - ERASED_TOLD).delete()[0]
    return orders + StoppedLogin.objects.filter(since__lt=now - ERASED_TOLD).delete()[0]


@dataclass(frozen=True, slots=True)
class Change:
    """The latest change of one order, with the logins it is about."""

    number: int
    external_id: str | None
    order_id: int
    user_id: int
    state: State
    changed_at: datetime
    logins: list[str]

    @property
    def published_id(self) -> str:
        return ids.encode("order", self.order_id)


def changes_since(number: int, limit: int) -> list[Change]:
    """The latest change of each order that changed after that number, oldest first; what is erased has expired."""
    kept = CutOff.objects.filter(number__gt=number).exclude(order__in=ErasedOrder.objects.values("order_number"))
    kept = kept.order_by("number").select_related("order__user").prefetch_related("order__proxy_users")
    gone = ErasedOrder.objects.filter(number__gt=number).order_by("number")
    changes = [
        Change(
            row.number,
            row.order.external_id,
            row.order_id,
            row.order.user_id,
            State(row.state),
            row.changed_at,
            sorted(proxy_user.login for proxy_user in row.order.proxy_users.all()),
        )
        for row in kept[:limit]
    ]
    changes += [
        Change(row.number, row.external_id, row.order_number, row.user_number, State.EXPIRED, row.erased_at, row.logins)
        for row in gone[:limit]
    ]
    return sorted(changes, key=lambda change: change.number)[:limit]


def publish_overdue(now: datetime) -> int:
    """Publishes suspensions that were set to begin at a time that has come; returns how many orders were looked at."""
    due = Order.objects.filter(suspended_at__lte=now).exclude(cut_off__state__in=[State.SUSPENDED, State.EXPIRED])
    with transaction.atomic():
        orders = list(
            Order.objects.select_for_update().filter(pk__in=list(due.values_list("pk", flat=True))).order_by("pk")
        )
        publish(orders, now)
    return len(orders)
