"""Reads of orders and proxy users.

A published id that is malformed, of another kind, unknown or of another account raises the same NotFound, so that
responses do not reveal which ids exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from django.db.models import Count, Min, QuerySet
from rest_framework.exceptions import NotFound

from accounts.selectors import decode_or_404
from fonproxy.api.search import chosen
from fonproxy.prepared import Prepared
from orders.models import Order, ProxyUser

CHUNK: Final = 5000  # both relational stores allow this many bound values per statement


LOGIN_LENGTH: Final = 255
NO_PROXY_USER: Final = 2**63 - 1


T = TypeVar("T")


class OrderFacts(NamedTuple):
    """Owner and network of an order; ``proxy_user_id`` is its only proxy user, 0 for none or several."""

    user_id: int
    network: str
    proxy_user_id: int


class ProxyUserFacts(NamedTuple):
    """Owner, order and network of a login."""

    id: int
    order_id: int
    user_id: int
    network: str


# Every push looks up the owners of its rows.
_orders: Final = Prepared(
    lambda numbers: Order.objects.filter(pk__in=numbers).values_list(
        "pk", "user_id", "product__network", Count("proxy_users"), Min("proxy_users__pk")
    ),
    int,
)
_proxy_users: Final = Prepared(
    lambda logins: ProxyUser.objects.filter(login__in=logins).values_list(
        "login", "pk", "order_id", "order__user_id", "order__product__network"
    ),
    str,
)


def orders_of(user_id: int) -> QuerySet[Order]:
    """The user's orders with their products, newest first."""
    return Order.objects.filter(user_id=user_id).select_related("product").order_by("-started_at", "-pk")


def find_order(user_id: int, published_id: str, prefix: str = "") -> Order:
    """The user's order of that published id, with its product; raises NotFound."""
    order = orders_of(user_id).filter(pk=decode_or_404("order", published_id, prefix)).first()
    if order is None:
        raise NotFound
    return order


def proxy_users_of(user_id: int) -> QuerySet[ProxyUser]:
    """The user's proxy users with their orders, by login."""
    return ProxyUser.objects.filter(order__user_id=user_id).select_related("order").order_by("login")


def own_proxy_user(user_id: int, published_id: str) -> ProxyUser:
    """The user's proxy user of that published id; raises NotFound."""
    proxy_user = proxy_users_of(user_id).filter(pk=decode_or_404("proxy_user", published_id)).first()
    if proxy_user is None:
        raise NotFound
    return proxy_user


def proxy_user_number(user_id: int, login: str) -> int:
    """The number of the user's proxy user with that login; NO_PROXY_USER, which no row has, for any other login."""
    facts = proxy_users_by_login([login]).get(login)
    return facts.id if facts is not None and facts.user_id == user_id else NO_PROXY_USER


def proxy_user_numbers_like(user_id: int, pattern: str) -> tuple[int, ...]:
    """The numbers of the user's proxy users whose logins match a ``like_`` pattern."""
    numbers = dict(ProxyUser.objects.filter(order__user_id=user_id).values_list("login", "pk"))
    return tuple(numbers[login] for login in chosen(pattern, numbers))


def logins_of(proxy_user_ids: Iterable[int]) -> dict[int, str]:
    """The logins of those proxy users that still exist."""
    return dict(ProxyUser.objects.filter(pk__in={*proxy_user_ids} - {0}).values_list("pk", "login"))


def orders_by_id(order_ids: Iterable[int]) -> dict[int, OrderFacts]:
    """The facts of those orders that exist, in one query per 5000 ids."""
    facts: dict[int, OrderFacts] = {}
    for chunk in chunks(set(order_ids)):
        for pk, user_id, network, proxy_users, first in _orders.rows(chunk):
            facts[pk] = OrderFacts(user_id, network, first if proxy_users == 1 else 0)
    return facts


def proxy_users_by_login(logins: Iterable[str]) -> dict[str, ProxyUserFacts]:
    """The facts of those logins that exist, in one query per 5000 logins."""
    facts: dict[str, ProxyUserFacts] = {}
    for chunk in chunks({login for login in logins if is_storable(login)}):
        for login, pk, order_id, user_id, network in _proxy_users.rows(chunk):
            facts[login] = ProxyUserFacts(pk, order_id, user_id, network)
    return facts


def is_storable(login: str) -> bool:
    """Whether a login can exist: databases refuse NUL and lone surrogates even in a comparison."""
    return 0 < len(login) <= LOGIN_LENGTH and "\0" not in login and not any("\ud800" <= c <= "\udfff" for c in login)


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in chunks that fit into one statement."""
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
