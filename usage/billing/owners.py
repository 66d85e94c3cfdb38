"""Customers, orders, products and logins as a billing system knows them, looked up for many rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Self

from django.db.models import Q

from accounts.models import User
from analytics.billing import OrderKey
from orders.models import Order
from orders.selectors import chunks, logins_of


class SoldOrder(NamedTuple):
    """An order's external id, and its product."""

    external_id: str | None
    product_id: int
    product: str
    proxy_type: str


@dataclass(frozen=True)
class Owners:
    """The existing users, orders and logins of some rows. An order counts only with the user who bought it."""

    users: dict[int, str | None]
    orders: dict[OrderKey, SoldOrder]
    logins: dict[int, str]

    @classmethod
    def of(cls, keys: Collection[OrderKey], proxy_users: Collection[int]) -> Self:
        users: dict[int, str | None] = {}
        orders: dict[OrderKey, SoldOrder] = {}
        logins: dict[int, str] = {}
        for user_ids in chunks({key.user_id for key in keys if key.user_id < 2**63}):
            users |= User.objects.filter(pk__in=user_ids).values_list("pk", "external_id")
        for order_ids in chunks({key.order_id for key in keys if key.order_id < 2**63}):
            for order in Order.objects.filter(pk__in=order_ids).select_related("product"):
                sold = SoldOrder(order.external_id, order.product_id, order.product.name, order.product.proxy_type)
                orders[OrderKey(order.user_id, order.pk)] = sold
        for numbers in chunks(set(proxy_users)):
            logins |= logins_of(numbers)
        return cls(users, orders, logins)


def last_of_slice(first: OrderKey, size: int) -> OrderKey | None:
    """The last of ``size`` known orders from ``first`` on; None if there are fewer."""
    following = Q(user_id__gt=first.user_id) | Q(user_id=first.user_id, pk__gte=first.order_id)
    keys = Order.objects.filter(following).order_by("user_id", "pk").values_list("user_id", "pk")
    last = keys[size - 1 : size].first()
    return OrderKey(*last) if last else None
