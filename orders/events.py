"""Events for the provider's own systems: rows written in the transaction of the change, one delivery per endpoint.

If the process dies before the commit, neither has happened; after it, ``orders.webhooks`` retries until the event
arrives. An event that no enabled endpoint subscribes to is not written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q

from accounts.models import User
from fonproxy import ids
from orders import ledger
from orders.models import CutOff, EventDelivery, EventMark, EventType, Order, ProviderEvent, WebhookEndpoint

State = CutOff.State
NEAR_LIMIT_PERCENT: Final = 80
EXPIRING: Final = timedelta(days=3)
ROUND: Final = 500


def _endpoints(kind: EventType) -> list[WebhookEndpoint]:
    enabled = WebhookEndpoint.objects.filter(is_enabled=True)
    return [endpoint for endpoint in enabled if not endpoint.event_types or kind in endpoint.event_types]


def _write(
    kind: EventType, user_number: int, data: dict[str, Any], endpoints: list[WebhookEndpoint], now: datetime
) -> None:
    event = ProviderEvent.objects.create(type=kind, user_number=user_number, data=data, occurred_at=now)
    EventDelivery.objects.bulk_create(
        [EventDelivery(event=event, endpoint=endpoint, next_attempt_at=now) for endpoint in endpoints]
    )


def record(kind: EventType, order: Order, now: datetime, *, left: int | None = None, **more: Any) -> None:
    """Writes an event about an order, in the caller's transaction.

    It contains ids only, because its receiver may keep it. ``left`` is the ledger balance, if the caller knows it.
    """
    if not (endpoints := _endpoints(kind)):
        return
    if left is None:
        left = ledger.balance(order)
    data = {
        "externalId": order.external_id,
        "id": order.published_id,
        "user": order.user.external_id,
        "limitBytes": order.limit_bytes,
        "bytesLeft": None if order.limit_bytes is None else left,
        "periodStartedAt": order.period_started_at.isoformat(),
        "expiresAt": order.expires_at.isoformat() if order.expires_at else None,
        **more,
    }
    _write(kind, order.user_id, data, endpoints, now)


def record_erased(user: User, now: datetime) -> None:
    """Writes the event that a customer was erased, in the transaction of the erasure."""
    if endpoints := _endpoints(EventType.CUSTOMER_ERASED):
        data = {"externalId": user.external_id, "id": ids.encode("user", user.pk)}
        _write(EventType.CUSTOMER_ERASED, user.pk, data, endpoints, now)


def record_states(
    orders: Collection[Order],
    before: Mapping[int, str],
    states: Mapping[int, State],
    balances: Mapping[int, int],
    now: datetime,
) -> None:
    """Writes events for orders whose published state changes or that are near their limit; their rows are locked."""
    for order in orders:
        old, new = before.get(order.pk, State.ACTIVE), states[order.pk]
        for kind in transitions(old, new):
            record(kind, order, now, left=balances[order.pk])
    near = [
        order
        for order in orders
        if states[order.pk] == State.ACTIVE and is_near_limit(order.limit_bytes, balances[order.pk])
    ]
    if near and _endpoints(EventType.NEAR_LIMIT):
        marked = dict(EventMark.objects.filter(order__in=near).values_list("order_id", "near_limit"))
        for order in near:
            mark = f"{order.period_number}:{order.limit_bytes}"
            if marked.get(order.pk) != mark:
                EventMark.objects.update_or_create(order=order, defaults={"near_limit": mark})
                record(EventType.NEAR_LIMIT, order, now, left=balances[order.pk])


def transitions(old: str, new: str) -> list[EventType]:
    """The events of a change of the published state. Pure.

    A top-up or renewal that ends a stop has its own event.
    """
    if old == new:
        return []
    resumed = [EventType.RESUMED] if old == State.SUSPENDED and new != State.EXPIRED else []
    now = {
        State.EXHAUSTED: EventType.EXHAUSTED,
        State.SUSPENDED: EventType.SUSPENDED,
        State.EXPIRED: EventType.EXPIRED,
    }.get(State(new))
    return resumed + ([now] if now else [])


def is_near_limit(limit: int | None, left: int) -> bool:
    """Whether NEAR_LIMIT_PERCENT of a positive limit is used and some is left. Pure."""
    return limit is not None and left > 0 and left * 100 <= limit * (100 - NEAR_LIMIT_PERCENT)


def record_expiring(now: datetime) -> int:
    """Writes events for orders that end within three days, once per end; returns their number."""
    if not _endpoints(EventType.EXPIRING):
        return 0
    untold = Q(event_mark=None) | Q(event_mark__expiring_at=None) | ~Q(event_mark__expiring_at=F("expires_at"))
    due = Order.objects.filter(untold, expires_at__gt=now, expires_at__lte=now + EXPIRING).order_by("expires_at", "pk")
    numbers = list(due.values_list("pk", flat=True)[:ROUND])
    for number in numbers:
        with transaction.atomic():
            order = Order.objects.locked().select_related("user").filter(pk=number).first()
            _record_expiring(order, now)
    return len(numbers)


def _record_expiring(order: Order | None, now: datetime) -> None:
    if order is None or order.expires_at is None or not now < order.expires_at <= now + EXPIRING:
        return  # erased or renewed in the meantime
    mark, _ = EventMark.objects.get_or_create(order=order)
    if mark.expiring_at != order.expires_at:
        EventMark.objects.filter(pk=order.pk).update(expiring_at=order.expires_at)
        record(EventType.EXPIRING, order, now)
