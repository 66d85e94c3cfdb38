"""Users and orders as a billing system puts them, by its own ids."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from rest_framework.exceptions import NotFound

from accounts.models import Network, Order, Product, ProxyType, User
from fonproxy.api.errors import Conflict, FieldError, InvalidInput
from usage import cut_off, ledger, orders
from usage.provisioning.serializers import PRINTABLE

NETWORKS: Final = {
    ProxyType.RESIDENTIAL_GIGA: Network.RESIDENTIAL,
    ProxyType.MOBILE_GIGA: Network.MOBILE,
    ProxyType.DATACENTER_GIGA: Network.DATACENTER,
    ProxyType.SERVER_STATIC: Network.ISP,
    ProxyType.PRIVATE_PROXY: Network.DATACENTER,
    ProxyType.SHARED_PROXY: Network.DATACENTER,
}


def put_user(external_id: str, given: dict[str, Any]) -> tuple[User, bool]:
    """The customer of that id as given, and whether it is new; what is not given stays as it is.

    Raises Conflict when the user name belongs to somebody else.
    """
    try:
        with transaction.atomic():
            user = User.objects.select_for_update().filter(external_id=external_id).first()
            if user is None:
                return _new_user(external_id, given), True
            for name, value in given.items():
                setattr(user, name, value)
            user.save(update_fields=list(given))
            return user, False
    except IntegrityError:
        if User.objects.filter(external_id=external_id).exists() and "username" not in given:
            return put_user(external_id, given)  # somebody else put the same one at the same time
        raise Conflict("The user name belongs to somebody else.") from None


def _new_user(external_id: str, given: dict[str, Any]) -> User:
    user = User(external_id=external_id, username=given.get("username", external_id), email=given.get("email", ""))
    user.set_unusable_password()
    user.save(force_insert=True)
    return user


def put_order(external_id: str, given: dict[str, Any], *, author: str, now: datetime) -> tuple[Order, bool]:
    """The order of that id as given, and whether it is new; putting the same again changes nothing.

    Raises InvalidInput for an unknown customer, Conflict when the order is another customer's or of another proxy
    type, or a login belongs to another order.
    """
    user = User.objects.filter(external_id=given["user"]).first()
    if user is None:
        raise InvalidInput("The customer is unknown.", errors=[FieldError("user", "No such customer was put before.")])
    try:
        with transaction.atomic():
            order = Order.objects.select_related("product").filter(external_id=external_id).first()
            is_new = order is None
            order = (
                _changed(order, user, given, author, now) if order else _bought(external_id, user, given, author, now)
            )
            orders.set_logins(order, given["proxyUsers"], now)
    except IntegrityError:
        if Order.objects.filter(external_id=external_id).exists():
            return put_order(external_id, given, author=author, now=now)  # put twice at the same time
        raise Conflict("A proxy user was given to another order at the same time.") from None
    return order, is_new


def _bought(external_id: str, user: User, given: dict[str, Any], author: str, now: datetime) -> Order:
    proxy_type = ProxyType(given["proxyType"])
    product, _ = Product.objects.get_or_create(name=given["name"], proxy_type=proxy_type, network=NETWORKS[proxy_type])
    return orders.buy(
        user=user,
        product=product,
        name=given["name"],
        limit_bytes=given["trafficLimitBytes"],
        started_at=given.get("startsAt", now),
        expires_at=given.get("expiresAt"),
        external_id=external_id,
        author=author,
        now=now,
    )


def _changed(order: Order, user: User, given: dict[str, Any], author: str, now: datetime) -> Order:
    if order.user_id != user.pk:
        raise Conflict("The order is another customer's: an order never changes hands.")
    if order.product.proxy_type != given["proxyType"]:
        raise Conflict("The order is of another proxy type: what it carried was counted under that.")
    return orders.change(
        order,
        author=author,
        now=now,
        name=given["name"],
        limit_bytes=given["trafficLimitBytes"],
        started_at=given.get("startsAt", order.started_at),
        expires_at=given.get("expiresAt", order.expires_at),
    )


def find_order(external_id: str) -> Order:
    """The order of that external id; raises NotFound."""
    order = Order.objects.filter(external_id=external_id).first() if PRINTABLE.fullmatch(external_id) else None
    if order is None:
        raise NotFound
    return order


def described(order: Order, now: datetime) -> dict[str, Any]:
    """The order with its account, for an answer."""
    balance = ledger.balance(order)
    return {
        "externalId": order.external_id,
        "id": order.published_id,
        "orderId": order.pk,
        "user": order.user.external_id,
        "name": order.name,
        "proxyType": order.product.proxy_type,
        "network": order.product.network,
        "state": cut_off.state_of(order, balance, now),
        "trafficLimitBytes": order.traffic_limit_bytes,
        "addedBytes": order.added_bytes,
        "bytesLeft": None if order.limit_bytes is None else balance,
        "startsAt": order.started_at,
        "expiresAt": order.expires_at,
        "proxyUsers": _logins(order),
    }


def _logins(order: Order) -> Collection[str]:
    return list(order.proxy_users.order_by("login").values_list("login", flat=True))
