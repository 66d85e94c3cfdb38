"""The cut-off feed: which logins gateways must block or unblock, in the order of the changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from fonproxy import ids
from orders import events, ledger
from orders.models import (
    BlockedLogin,
    CutOff,
    CutOffCounter,
    ErasedOrder,
    Order,
    OrderStatus,
    ProxyUser,
    RemovedLogin,
)

State = CutOff.State
ERASED_RETENTION: Final = timedelta(days=30)


def state_of(order: Order, balance: int, now: datetime) -> State:
    """The state of an order, from its status and balance. Pure. Exhausted: its limit is used up."""
    status = order.status(now)
    if status == OrderStatus.EXPIRED:
        return State.EXPIRED
    if status == OrderStatus.SUSPENDED:
        return State.SUSPENDED
    if (order.limit_bytes is not None and balance <= 0) or order.is_stopped(now):
        return State.EXHAUSTED
    return State.ACTIVE


def publish(orders: Collection[Order], now: datetime, *, force: bool = False) -> None:
    """Publishes the state of the orders whose state changed; of all given orders with ``force``.

    The caller has locked the orders' rows, in the transaction that changed them. A new active order has nothing to
    publish: gateways accept logins that the feed does not stop.
    """
    balances = ledger.balances([order.pk for order in orders])
    known = dict(CutOff.objects.filter(order__in=orders).values_list("order_id", "state"))
    states = {order.pk: state_of(order, balances[order.pk], now) for order in orders}
    changed = [
        (order, states[order.pk]) for order in orders if force or states[order.pk] != known.get(order.pk, State.ACTIVE)
    ]
    if changed:
        first = allocate_numbers(len(changed))
        for number, (order, state) in enumerate(changed, first):
            CutOff.objects.update_or_create(order=order, defaults={"state": state, "number": number, "changed_at": now})
    events.record_states(orders, known, states, balances, now)


def allocate_numbers(count: int) -> int:
    """The first of ``count`` consecutive numbers.

    Other transactions that take numbers wait for this one, so a reader that has seen a number has seen all smaller
    ones.
    """
    CutOffCounter.objects.get_or_create(pk=1)
    counter = CutOffCounter.objects.select_for_update().get(pk=1)
    counter.last += count
    counter.save(update_fields=["last"])
    return counter.last - count + 1


def last_number() -> int:
    """The last committed number; all smaller ones are committed too."""
    return CutOffCounter.objects.filter(pk=1).values_list("last", flat=True).first() or 0


def publish_logins(order: Order, before: set[str], after: set[str], now: datetime) -> None:
    """Publishes the order again when gateways would otherwise treat some logins wrongly; its row is locked.

    Logins that join a stopped order must be stopped. Logins that leave one are stored, so that the order they join
    later is published as active.
    """
    is_stopped = CutOff.objects.filter(order=order).exclude(state=State.ACTIVE).exists()
    if is_stopped:
        remember_stopped(before - after, now)
    joined = after - before
    came_back = BlockedLogin.objects.filter(login__in=joined).delete()[0]
    if came_back or (joined and is_stopped):
        publish([order], now, force=True)


def remember_stopped(logins: Collection[str], now: datetime) -> None:
    """Stores logins that are removed while gateways block them."""
    BlockedLogin.objects.bulk_create([BlockedLogin(login=login, since=now) for login in logins], ignore_conflicts=True)


def publish_erased(orders: Collection[Order], now: datetime) -> None:
    """Publishes, once, that orders are erased, with their logins. Call it in the transaction that deletes those."""
    known = set(
        ErasedOrder.objects.filter(order_number__in=[order.pk for order in orders]).values_list("pk", flat=True)
    )
    gone = [order for order in orders if order.pk not in known]
    if gone:
        for number, order in enumerate(gone, allocate_numbers(len(gone))):
            logins = sorted(order.proxy_users.values_list("login", flat=True))
            ErasedOrder.objects.create(
                order_number=order.pk,
                user_number=order.user_id,
                external_id=order.external_id,
                logins=logins,
                number=number,
                erased_at=now,
            )
            remember_stopped(logins, now)


def forget_erased(now: datetime) -> int:
    """Deletes records of orders and logins erased more than 30 days ago; returns their number."""
    long_ago = now - ERASED_RETENTION
    orders = ErasedOrder.objects.filter(erased_at__lt=long_ago).delete()[0]
    logins = RemovedLogin.objects.filter(removed_at__lt=long_ago).delete()[0]
    return orders + logins + BlockedLogin.objects.filter(since__lt=long_ago).delete()[0]


@dataclass(frozen=True, slots=True)
class CutOffChange:
    """The latest change of an order, or of a login by its own limits, with the logins in that state."""

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


def changes_since(number: int, limit: int) -> list[CutOffChange]:
    """The latest change of each order and each login after that number, oldest first; erased orders are expired.

    A login that reached its own limit has its own entry and is left out of an active order's entry. A reader that
    applies the changes in order therefore has the right set of stopped logins.
    """
    # All queries end at the same number, so that no change committed between them is skipped.
    numbers = (number + 1, last_number())
    kept = CutOff.objects.filter(number__range=numbers).exclude(order__in=ErasedOrder.objects.values("order_number"))
    kept = kept.order_by("number").select_related("order__user").prefetch_related("order__proxy_users")
    gone = ErasedOrder.objects.filter(number__range=numbers).order_by("number")
    changes = [
        CutOffChange(
            row.number,
            row.order.external_id,
            row.order_id,
            row.order.user_id,
            State(row.state),
            row.changed_at,
            sorted(
                proxy_user.login
                for proxy_user in row.order.proxy_users.all()
                if proxy_user.stopped_until is None or row.state != State.ACTIVE
            ),
        )
        for row in kept[:limit]
    ]
    logins = ProxyUser.objects.filter(stop_number__range=numbers).order_by("stop_number")
    changes += [
        CutOffChange(
            user.stop_number or 0,
            user.order.external_id,
            user.order_id,
            user.order.user_id,
            login_state(user),
            user.stop_changed_at or user.created_at,
            [user.login],
        )
        for user in logins.select_related("order__cut_off")[:limit]
    ]
    changes += [
        CutOffChange(
            row.number, row.external_id, row.order_number, row.user_number, State.EXPIRED, row.erased_at, row.logins
        )
        for row in gone[:limit]
    ]
    return sorted(changes, key=lambda change: change.number)[:limit]


def login_state(user: ProxyUser) -> State:
    """The published state of a login: its order's, or exhausted by its own limit."""
    cut_off: CutOff | None = getattr(user.order, "cut_off", None)
    if cut_off is not None and cut_off.state != State.ACTIVE:
        return State(cut_off.state)
    return State.EXHAUSTED if user.stopped_until is not None else State.ACTIVE


def publish_overdue(now: datetime) -> int:
    """Publishes due suspensions and ended daily stops; returns the number of orders checked."""
    due = Order.objects.filter(suspended_at__lte=now).exclude(cut_off__state__in=[State.SUSPENDED, State.EXPIRED])
    over = Order.objects.filter(stopped_until__lte=now)
    numbers = {*due.values_list("pk", flat=True), *over.values_list("pk", flat=True)}
    if not numbers:
        return 0
    with transaction.atomic():
        orders = list(Order.objects.locked().filter(pk__in=numbers).order_by("pk"))
        for order in orders:
            if order.stopped_until is not None and order.stopped_until <= now:
                order.stopped_until = None
                order.save(update_fields=["stopped_until"])
        publish(orders, now)
    return len(orders)
