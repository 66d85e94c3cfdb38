"""Byteful's ledger searches and account summaries, for one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from rest_framework.exceptions import NotFound

from accounts import selectors
from fonproxy import ids
from fonproxy.api.search import (
    DATE,
    ID,
    MOMENT,
    NUMBER,
    Condition,
    FieldRange,
    FieldType,
    Operator,
    Search,
    chosen,
    one_of,
)
from orders import ledger
from orders import selectors as order_selectors
from orders.models import LedgerEntry, LedgerReason, Network, Order, OrderStatus, ProxyUser

# Field names without their prefix, with type and column.
PREFIXED: Final[Mapping[str, tuple[FieldType, str]]] = {
    "id": (ID, "pk"),
    "bytes": (NUMBER, "bytes"),
    "requests": (NUMBER, "requests"),
    "period_date": (DATE, "period_date"),
    "reason": (one_of(LedgerReason.values), "reason"),
    "creation_datetime": (MOMENT, "created_at"),
    "last_update_datetime": (MOMENT, "updated_at"),
}
SHARED: Final[Mapping[str, tuple[FieldType, str]]] = {
    "customer_id": (ID, "order__user_id"),
    "service_id": (ID, "order_id"),
    "service_adjustment_id": (NUMBER, "adjustment_number"),
}


SOLD_BY_TRAFFIC: Final = (Network.RESIDENTIAL, Network.MOBILE)


def fields_of(network: Network) -> dict[str, tuple[FieldType, str]]:
    """Every field of that network's ledger with its type and column."""
    return {**{f"{network}_ledger_{name}": field for name, field in PREFIXED.items()}, **SHARED}


def types_of(network: Network) -> dict[str, FieldType]:
    """The types of the same fields."""
    return {name: kind for name, (kind, _) in fields_of(network).items()}


def entries_of(user_id: int, network: Network) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(order__user_id=user_id, order__product__network=network).select_related("order")


def find_entry(user_id: int, network: Network, published_id: str) -> LedgerEntry:
    """The customer's entry of that published id; raises NotFound."""
    number = ids.decode(f"{network}_ledger", published_id)
    entry = entries_of(user_id, network).filter(pk=number).first() if number is not None else None
    if entry is None:
        raise NotFound
    return entry


def search(user_id: int, network: Network, wanted: Search) -> tuple[list[LedgerEntry], int]:
    """One page of the ledger, and the number of all entries. Raises NotFound for an id of another account."""
    fields = fields_of(network)
    found = entries_of(user_id, network)
    for condition in wanted.conditions:
        found = found.filter(_as_q(condition, fields[condition.field][1], user_id, network))
    if wanted.sort:
        column = fields[wanted.sort][1]
        ordered = found.order_by(f"-{column}" if wanted.is_descending else column, "pk")
    else:
        ordered = found.order_by("-period_date", "-created_at", "-pk")
    return list(ordered[wanted.offset : wanted.offset + wanted.per_page]), found.count()


def _as_q(condition: Condition, column: str, user_id: int, network: Network) -> Q:
    value: Any = condition.value
    if column in _OWN_IDS:
        value = _OWN_IDS[column](user_id, network, value)
    if isinstance(value, FieldRange):
        return _as_span(condition.operator, column, value)
    match condition.operator:
        case Operator.MIN:
            return Q((f"{column}__gte", value))
        case Operator.MAX:
            return Q((f"{column}__lte", value))
        case Operator.LIKE:
            return Q((f"{column}__in", chosen(value, LedgerReason.values)))
        case Operator.NOT:
            return ~Q((column, value))
        case Operator.EQUAL:
            return Q((column, value))


def _as_span(operator: Operator, column: str, span: FieldRange) -> Q:
    is_date = column == "period_date"
    start, end = (span.start.date(), span.end.date()) if is_date else (span.start, span.end)
    since, before = Q((f"{column}__gte", start)), Q((f"{column}__lt", end))
    return {Operator.EQUAL: since & before, Operator.NOT: ~(since & before), Operator.MIN: since, Operator.MAX: before}[
        operator
    ]


# An id is decoded and looked up, never just compared: another account's id is not found, whether or not it exists.
_OWN_IDS: Final[Mapping[str, Callable[[int, Network, str], int]]] = {
    "pk": lambda user_id, network, text: find_entry(user_id, network, text).pk,
    "order_id": lambda user_id, network, text: order_selectors.find_order(user_id, text).pk,
    "order__user_id": lambda user_id, network, text: selectors.own_account(user_id, text),
}


def summary(user_id: int, network: Network, now: datetime) -> dict[str, Any]:
    """Bytes bought, used and left in the current periods of the orders that have not expired.

    Bytes are None when no order is metered. Requests are those on the days of the periods. Raises NotFound when the
    customer never had an order of that network.
    """
    every = list(order_selectors.orders_of(user_id).filter(product__network=network))
    if not every:
        raise NotFound
    orders = [order for order in every if order.status(now) != OrderStatus.EXPIRED]
    limits = [order.limit_bytes for order in orders if order.limit_bytes is not None]
    left = _bytes_left(orders)
    return {
        f"{network}_bytes": sum(limits) if limits else None,
        f"{network}_bytes_used": None if left is None else sum(limits) - left,
        f"{network}_bytes_left": left,
        f"{network}_requests": _requests(orders),
        "proxy_user_ids": list(
            ProxyUser.objects.filter(order__in=orders).order_by("login").values_list("login", flat=True)
        ),
    }


def _requests(orders: list[Order]) -> int:
    first_day = TruncDate("order__period_started_at", tzinfo=UTC)
    lines = LedgerEntry.objects.filter(order__in=orders, usage_day__gte=first_day)
    total: int = lines.aggregate(total=Sum("requests", default=0))["total"]
    return total


def customer(user_id: int, now: datetime) -> dict[str, Any]:
    """The customer's number; bytes left and the latest active order of each network that is sold by traffic."""
    lasting: dict[str, list[Order]] = {network: [] for network in SOLD_BY_TRAFFIC}
    for order in order_selectors.orders_of(user_id).filter(product__network__in=SOLD_BY_TRAFFIC):
        if order.status(now) != OrderStatus.EXPIRED:
            lasting[order.product.network].append(order)
    return {
        "customer_id": user_id,
        **{f"{network}_bytes_left": _bytes_left(lasting[network]) for network in SOLD_BY_TRAFFIC},
        **{f"active_{network}_service_id": _active_id(lasting[network], now) for network in SOLD_BY_TRAFFIC},
    }


def _bytes_left(orders: list[Order]) -> int | None:
    """Bytes left according to the ledger; None when no order is metered."""
    metered = [order.pk for order in orders if order.limit_bytes is not None]
    return sum(ledger.balances(metered).values()) if metered else None


def _active_id(orders: list[Order], now: datetime) -> str | None:
    return next((order.published_id for order in orders if order.status(now) == OrderStatus.ACTIVE), None)
