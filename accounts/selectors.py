"""What is read about accounts: one customer's own things, and facts in bulk for whoever attributes traffic.

A published id that is malformed, of another kind, unknown or somebody else's is always the same NotFound: the answer
must not tell which ids exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from django.db.models import Count, Min, QuerySet
from rest_framework.exceptions import NotFound

from accounts.models import ApiKey, Order, ProxyUser, User
from fonproxy import ids

CHUNK: Final = 5000  # both relational stores take this many bound values in one statement
LOGIN_LENGTH: Final = 255
NUMBER: Final = re.compile("[0-9]{1,18}")

T = TypeVar("T")


class OrderFacts(NamedTuple):
    """Whose traffic it is; ``proxy_user_id`` is the order's only proxy user, 0 when it has none or several."""

    user_id: int
    network: str
    proxy_user_id: int


class ProxyUserFacts(NamedTuple):
    """What a proxy login stands for."""

    id: int
    order_id: int
    user_id: int
    network: str


def account_for(caller: User, named: str | None) -> int:
    """The user whose data a read is about: the caller, or for staff any user they name; raises NotFound.

    Staff may use the number that proxy workers push under as well as the published id.
    """
    if named is None:
        return caller.pk
    user_id = ids.decode("user", named)
    if user_id is None and caller.is_staff and NUMBER.fullmatch(named):
        user_id = int(named)
    if user_id == caller.pk:
        return caller.pk
    if user_id is None or not caller.is_staff or not User.objects.filter(pk=user_id).exists():
        raise NotFound
    return user_id


def orders_of(user_id: int) -> QuerySet[Order]:
    """The user's orders with their products, newest first."""
    return Order.objects.filter(user_id=user_id).select_related("product").order_by("-started_at", "-pk")


def own_account(user_id: int, text: str) -> int:
    """The number of an account as its owner may ask for it: only their own; raises NotFound."""
    if text != str(user_id):
        raise NotFound
    return user_id


def find_order(user_id: int, published_id: str, prefix: str = "") -> Order:
    """The user's order of that published id, with its product; raises NotFound."""
    order = orders_of(user_id).filter(pk=_decoded("order", published_id, prefix)).first()
    if order is None:
        raise NotFound
    return order


def find_proxy_user(user_id: int, login: str) -> ProxyUserFacts:
    """The user's proxy user of that login; raises NotFound."""
    facts = proxy_users_by_login([login]).get(login)
    if facts is None or facts.user_id != user_id:
        raise NotFound
    return facts


def logins_of(proxy_user_ids: Iterable[int]) -> dict[int, str]:
    """The logins of those proxy users that there still are."""
    return dict(ProxyUser.objects.filter(pk__in={*proxy_user_ids} - {0}).values_list("pk", "login"))


def keys_of(user_id: int) -> QuerySet[ApiKey]:
    """The user's keys, revoked ones included, newest first."""
    return ApiKey.objects.filter(user_id=user_id).order_by("-created_at", "-pk")


def find_key(user_id: int, published_id: str) -> ApiKey:
    """The user's key of that published id; raises NotFound."""
    key = keys_of(user_id).filter(pk=_decoded("key", published_id)).first()
    if key is None:
        raise NotFound
    return key


def _decoded(kind: str, published_id: str, prefix: str = "") -> int:
    number = ids.decode(kind, published_id, prefix)
    if number is None:
        raise NotFound
    return number


def orders_by_id(order_ids: Iterable[int]) -> dict[int, OrderFacts]:
    """The facts of those orders that exist, in one query per 5000 ids."""
    facts: dict[int, OrderFacts] = {}
    for chunk in _chunks(set(order_ids)):
        rows = Order.objects.filter(pk__in=chunk).values_list(
            "pk", "user_id", "product__network", Count("proxy_users"), Min("proxy_users__pk")
        )
        for pk, user_id, network, proxy_users, first in rows:
            facts[pk] = OrderFacts(user_id, network, first if proxy_users == 1 else 0)
    return facts


def proxy_users_by_login(logins: Iterable[str]) -> dict[str, ProxyUserFacts]:
    """The facts of those logins that exist, in one query per 5000 logins."""
    facts: dict[str, ProxyUserFacts] = {}
    for chunk in _chunks({login for login in logins if _is_storable(login)}):
        rows = ProxyUser.objects.filter(login__in=chunk).values_list(
            "login", "pk", "order_id", "order__user_id", "order__product__network"
        )
        for login, pk, order_id, user_id, network in rows:
            facts[login] = ProxyUserFacts(pk, order_id, user_id, network)
    return facts


def _is_storable(login: str) -> bool:
    """Whether a login can exist at all: databases refuse NUL and lone surrogates even in a comparison."""
    return 0 < len(login) <= LOGIN_LENGTH and "\0" not in login and not any("\ud800" <= c <= "\udfff" for c in login)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
