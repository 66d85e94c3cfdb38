"""A customer's ledger of one network as the tracking API searches it, and what is left of what was bought."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from rest_framework.exceptions import NotFound

from accounts import selectors
from accounts.models import Network, Order, OrderStatus, ProxyUser
from fonproxy import ids
from fonproxy.api.search import DATE, ID, MOMENT, NUMBER, Condition, Kind, Operator, Search, Span, chosen, one_of
from usage import ledger
from usage.models import LedgerEntry, Reason

# What follows the prefix in a field's name, its kind, and its column.
PREFIXED: Final[Mapping[str, tuple[Kind, str]]] = {
    "id": (ID, "pk"),
    "bytes": (NUMBER, "bytes"),
    "requests": (NUMBER, "requests"),
    "period_date": (DATE, "period_date"),
    "reason": (one_of(Reason.values), "reason"),
    "creation_datetime": (MOMENT, "created_at"),
    "last_update_datetime": (MOMENT, "updated_at"),
}
SHARED: Final[Mapping[str, tuple[Kind, str]]] = {
    "customer_id": (ID, "order__user_id"),
    "service_id": (ID, "order_id"),
    "service_adjustment_id": (NUMBER, "adjustment_number"),
}


def fields_of(network: Network) -> dict[str, tuple[Kind, str]]:
    """Every field of that network's ledger with its kind and its column."""
    return {**{f"{network}_ledger_{name}": field for name, field in PREFIXED.items()}, **SHARED}


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
    """One page of the ledger, and how many entries there are in all. Raises NotFound for an id that is not theirs."""
    fields = fields_of(network)
    found = entries_of(user_id, network)
    for condition in wanted.conditions:
        found = found.filter(_as_q(condition, fields[condition.field][1], user_id, network))
    column = fields[wanted.sort][1] if wanted.sort else "created_at"
    ordered = found.order_by(f"-{column}" if wanted.is_descending else column, "pk")
    return list(ordered[wanted.offset : wanted.offset + wanted.per_page]), found.count()


def _as_q(condition: Condition, column: str, user_id: int, network: Network) -> Q:
    value: Any = condition.value
    if column in _OWN_IDS:
        value = _OWN_IDS[column](user_id, network, value)
    if isinstance(value, Span):
        return _as_span(condition.operator, column, value)
    match condition.operator:
        case Operator.MIN:
            return Q((f"{column}__gte", value))
        case Operator.MAX:
            return Q((f"{column}__lte", value))
        case Operator.LIKE:
            return Q((f"{column}__in", chosen(value, Reason.values)))
        case Operator.NOT:
            return ~Q((column, value))
        case Operator.EQUAL:
            return Q((column, value))


def _as_span(operator: Operator, column: str, span: Span) -> Q:
    is_date = column == "period_date"
    start, end = (span.start.date(), span.end.date()) if is_date else (span.start, span.end)
    since, before = Q((f"{column}__gte", start)), Q((f"{column}__lt", end))
    return {Operator.EQUAL: since & before, Operator.NOT: ~(since & before), Operator.MIN: since, Operator.MAX: before}[
        operator
    ]


# Ids are never merely compared: one that is not the caller's own is not found, whether or not it exists.
_OWN_IDS: Final[Mapping[str, Callable[[int, Network, str], int]]] = {
    "pk": lambda user_id, network, text: find_entry(user_id, network, text).pk,
    "order_id": lambda user_id, network, text: selectors.find_order(user_id, text).pk,
    "order__user_id": lambda user_id, network, text: selectors.own_account(user_id, text),
}


def summary(user_id: int, network: Network, now: datetime) -> dict[str, Any]:
    """What was bought, carried and is left of the orders that have not ended, in their current periods.

    Bytes are None when none of them is metered. Requests are those of the days of the periods. Raises NotFound when the
    customer never had an order of that network.
    """
    every = list(selectors.orders_of(user_id).filter(product__network=network))
    if not every:
        raise NotFound
    orders = [order for order in every if order.status(now) != OrderStatus.EXPIRED]
    limits = [order.limit_bytes for order in orders if order.limit_bytes is not None]
    balances = ledger.balances([order.pk for order in orders if order.limit_bytes is not None])
    left = sum(balances.values())
    return {
        f"{network}_bytes": sum(limits) if limits else None,
        f"{network}_bytes_used": sum(limits) - left if limits else None,
        f"{network}_bytes_left": left if limits else None,
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
