"""Users and orders under the external ids of a billing system."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import IntegrityError, transaction
from rest_framework.exceptions import NotFound

from accounts import audit_trail, notices
from accounts.audit_trail import Actor
from accounts.models import AuditRecord, User
from accounts.notices import Notice
from accounts.selectors import refuse_staff
from fonproxy.api.errors import Conflict, FieldError, InvalidInput
from orders import enforcement, ledger, passwords
from orders import services as order_services
from orders.models import Network, Order, Product, ProxyType, ProxyUser
from orders.periods import RecurringPeriod
from orders.provisioning.serializers import PRINTABLE
from orders.proxy_users import Settings, limits_of

NETWORKS: Final = {
    ProxyType.RESIDENTIAL_GIGA: Network.RESIDENTIAL,
    ProxyType.MOBILE_GIGA: Network.MOBILE,
    ProxyType.DATACENTER_GIGA: Network.DATACENTER,
    ProxyType.SERVER_STATIC: Network.ISP,
    ProxyType.PRIVATE_PROXY: Network.DATACENTER,
    ProxyType.SHARED_PROXY: Network.DATACENTER,
}


FIELDS: Final = {"allowedIps": "allowed_ips", "maxConnections": "max_connections"}


def put_user(external_id: str, given: dict[str, Any]) -> tuple[User, bool]:
    """Creates or changes the customer of that id; returns it and whether it is new.

    Omitted fields stay unchanged, and so do fields with the same value as in the last PUT, because the customer may
    have changed the address since. A person who is only in teams, and whose name is the given address, becomes the
    customer. Raises Conflict for a staff account, and when the user name belongs to another user.
    """
    try:
        with transaction.atomic():
            user = User.objects.select_for_update().filter(external_id=external_id).first()
            if user is None:
                return _adopted(external_id, given) or _new_user(external_id, given), True
            refuse_staff(user)
            old_address = user.email
            fresh = {name: value for name, value in given.items() if user.last_put.get(name, MISSING) != value}
            for name, value in fresh.items():
                setattr(user, name, value)
            user.last_put = {**user.last_put, **fresh}
            user.save(update_fields=[*fresh, "last_put"])
            if user.email != old_address:
                notices.send(Notice.NEW_ADDRESS, user, old_address)
            return user, False
    except IntegrityError:
        if User.objects.filter(external_id=external_id).exists() and "username" not in given:
            return put_user(external_id, given)  # created concurrently
        raise Conflict("The user name belongs to another user.") from None


def _adopted(external_id: str, given: dict[str, Any]) -> User | None:
    """The person who joined a team under this name, an e-mail address, and now becomes the customer of that id.

    None unless the given address is both the name and the address of the person. Apart from staff, only a mailed link
    creates such a name, so its password was chosen by the owner of the address that billing names. The password and the
    person's teams therefore stay. Persons with orders of another origin, staff and locked accounts are not adopted.
    """
    name, address = given.get("username", external_id), given.get("email", "")
    if not address or name.lower() != address.lower():
        return None
    persons = User.objects.select_for_update().filter(external_id=None, is_active=True)
    person = persons.filter(username=name, email__iexact=address).first()
    if person is None or person.has_powers or person.orders.exists():
        return None
    person.external_id, person.last_put = external_id, given
    person.save(update_fields=["external_id", "last_put"])
    return person


def _new_user(external_id: str, given: dict[str, Any]) -> User:
    user = User(external_id=external_id, username=given.get("username", external_id), email=given.get("email", ""))
    user.last_put = given
    user.set_unusable_password()
    user.save(force_insert=True)
    return user


# A field with the same value as in the last PUT is not applied again.
REPEATABLE: Final = ("name", "trafficLimitBytes", "startsAt", "expiresAt", "period", "limits")
MISSING: Final = object()


class PutOrder(NamedTuple):
    """The result of ``put_order``; ``passwords`` has the generated ones, by login."""

    order: Order
    is_new: bool
    passwords: dict[str, str]


def put_order(external_id: str, given: dict[str, Any], *, actor: Actor, author: str, now: datetime) -> PutOrder:
    """Creates or changes the order of that id; repeating a PUT changes nothing.

    Raises InvalidInput for an unknown customer, and Conflict for a staff account, when the order belongs to another
    customer or has another proxy type, or when a login belongs to another order.
    """
    user = User.objects.filter(external_id=given["user"]).first()
    if user is None:
        raise InvalidInput("The customer is unknown.", errors=[FieldError("user", "Unknown external id.")])
    refuse_staff(user)
    wanted, generated = _settings(given["proxyUsers"])  # hashing takes time, so it happens outside of the transaction
    try:
        with transaction.atomic():
            order = Order.objects.select_related("product").filter(external_id=external_id).first()
            is_new = order is None
            order = (
                _changed(order, user, given, author, now) if order else _bought(external_id, user, given, author, now)
            )
            Order.objects.filter(pk=order.pk).update(last_put={**order.last_put, **_put(given)})
            order_services.set_logins(order, wanted, now)
            audit_trail.record("put", AuditRecord.Kind.ORDER, order.pk, actor=actor, now=now)
    except IntegrityError:
        if Order.objects.filter(external_id=external_id).exists():
            return put_order(external_id, given, actor=actor, author=author, now=now)  # two concurrent PUTs
        raise Conflict("A proxy user was assigned to another order at the same time.") from None
    return PutOrder(order, is_new, generated)


def _settings(entries: Iterable[dict[str, Any]]) -> tuple[dict[str, Settings], dict[str, str]]:
    """The settings of each login, and the passwords generated for logins that have none."""
    known = ProxyUser.objects.in_bulk([entry["login"] for entry in entries], field_name="login")
    wanted: dict[str, Settings] = {}
    generated: dict[str, str] = {}
    for entry in entries:
        login, user = entry["login"], known.get(entry["login"])
        wanted[login] = {FIELDS[name]: value for name, value in entry.items() if name in FIELDS} | limits_of(entry)
        password = entry.get("password")
        if password is None and "is_login_only" not in entry and not (user and user.has_password):
            password = generated[login] = passwords.generate()
        if password is not None:
            last = user.last_put.get("verifier", "") if user else ""
            is_as_before = passwords.matches(last, password)
            wanted[login] = {**wanted[login], "verifier": last if is_as_before else passwords.verifier_of(password)}
    return wanted, generated


def _bought(external_id: str, user: User, given: dict[str, Any], author: str, now: datetime) -> Order:
    proxy_type = ProxyType(given["proxyType"])
    product, _ = Product.objects.get_or_create(name=given["name"], proxy_type=proxy_type, network=NETWORKS[proxy_type])
    return order_services.buy(
        user=user,
        product=product,
        name=given["name"],
        limit_bytes=given["trafficLimitBytes"],
        started_at=given.get("startsAt", now),
        expires_at=given.get("expiresAt"),
        period=given.get("period"),
        day_limit_bytes=given.get("limits", {}).get("dayBytes"),
        external_id=external_id,
        author=author,
        now=now,
    )


def _changed(order: Order, user: User, given: dict[str, Any], author: str, now: datetime) -> Order:
    if order.user_id != user.pk:
        raise Conflict("The order belongs to another customer, which cannot be changed.")
    if order.product.proxy_type != given["proxyType"]:
        raise Conflict("The order has another proxy type, which cannot be changed.")
    order = order_services.locked(order)  # locked, so that no renewal comes between reading and writing
    fresh = {name: given[name] for name, value in _put(given).items() if order.last_put.get(name, MISSING) != value}
    return order_services.change(
        order,
        author=author,
        now=now,
        name=fresh.get("name", order.name),
        limit_bytes=fresh.get("trafficLimitBytes", order.traffic_limit_bytes),
        started_at=fresh.get("startsAt", order.started_at),
        expires_at=fresh.get("expiresAt", order.expires_at),
        period=fresh.get("period", order.period),
        day_limit_bytes=fresh.get("limits", {}).get("dayBytes", order.day_limit_bytes),
    )


def _put(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of the PUT that renewals, top-ups and staff can change too, as JSON."""
    return {name: _json(given[name]) for name in REPEATABLE if name in given}


def _json(value: Any) -> Any:
    if isinstance(value, RecurringPeriod):
        return {**asdict(value), "anchor": value.anchor.isoformat()}
    return value.isoformat() if isinstance(value, datetime) else value


def find_order(external_id: str) -> Order:
    """The order of that external id; raises NotFound."""
    order = Order.objects.filter(external_id=external_id).first() if PRINTABLE.fullmatch(external_id) else None
    if order is None:
        raise NotFound
    return order


def described(order: Order, now: datetime) -> dict[str, Any]:
    """The order with its balance, for a response."""
    return {**facts_of(order, ledger.balance(order), now), "proxyUsers": _logins(order)}


def facts_of(order: Order, balance: int, now: datetime) -> dict[str, Any]:
    """The fields of the order except its logins."""
    return {
        "externalId": order.external_id,
        "id": order.published_id,
        "orderId": order.pk,
        "user": order.user.external_id,
        "name": order.name,
        "proxyType": order.product.proxy_type,
        "network": order.product.network,
        "state": enforcement.state_of(order, balance, now),
        "trafficLimitBytes": order.traffic_limit_bytes,
        "addedBytes": order.added_bytes,
        "bytesLeft": None if order.limit_bytes is None else balance,
        "startsAt": order.started_at,
        "expiresAt": order.expires_at,
        "period": order.period,
        "renewsAt": order.next_renewal,
        "dayLimitBytes": order.limits.day,
    }


def _logins(order: Order) -> Collection[str]:
    return list(order.proxy_users.order_by("login").values_list("login", flat=True))
