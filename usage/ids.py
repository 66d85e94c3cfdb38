"""Ids of WeProxies' usage API: a subscription is an order; the prefix is part of the id."""

from __future__ import annotations

from fonproxy import ids
from orders import selectors
from orders.models import Order

SUBSCRIPTION = "sub_"
ALERT = "alert_"


def subscription_id(order_id: int) -> str:
    return ids.encode("order", order_id, SUBSCRIPTION)


def alert_id(number: int) -> str:
    return ids.encode("alert", number, ALERT)


def find_subscription(user_id: int, published_id: str) -> Order:
    """The customer's order of that subscription id, with its product; raises NotFound."""
    return selectors.find_order(user_id, published_id, SUBSCRIPTION)
