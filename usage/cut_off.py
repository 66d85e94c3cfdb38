"""Whose traffic the proxies have to stop or may carry again, in the order in which it was decided."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from accounts.models import Order, OrderStatus
from usage import ledger
from usage.models import CutOff, CutOffCounter

State = CutOff.State


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


def publish(orders: Collection[Order], now: datetime) -> None:
    """Publishes the state of those orders whose state is another than last time.

    Called with the orders' rows locked, in the transaction of whatever changed them. A new order that is active has
    nothing to be published: proxies carry what they have not been told to stop.
    """
    balances = ledger.balances([order.pk for order in orders])
    known = dict(CutOff.objects.filter(order__in=orders).values_list("order_id", "state"))
    changed = [
        (order, state)
        for order in orders
        if (state := state_of(order, balances[order.pk], now)) != known.get(order.pk, State.ACTIVE)
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


def changes_since(number: int, limit: int) -> list[CutOff]:
    """The latest change of each order that changed after that number, oldest first."""
    changed = CutOff.objects.filter(number__gt=number).order_by("number").select_related("order__user")
    return list(changed.prefetch_related("order__proxy_users")[:limit])


def publish_overdue(now: datetime) -> int:
    """Publishes suspensions that were set to begin at a time that has come; returns how many orders were looked at."""
    due = Order.objects.filter(suspended_at__lte=now).exclude(cut_off__state__in=[State.SUSPENDED, State.EXPIRED])
    with transaction.atomic():
        orders = list(
            Order.objects.select_for_update().filter(pk__in=list(due.values_list("pk", flat=True))).order_by("pk")
        )
        publish(orders, now)
    return len(orders)
