"""A small believable provider: staff, customers, what they bought, and a worker that may push traffic.

Everything here can be made any number of times. Passwords and keys are derived from the installation's own secret: they
stay the same from run to run, and are nobody else's.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from accounts import peppers
from accounts.applications import KEY_BYTES, Keys
from accounts.models import (
    ApiKey,
    Application,
    ApplicationKey,
    Network,
    Order,
    Product,
    ProxyType,
    ProxyUser,
    Scope,
    User,
)
from accounts.services import KEY_START, PREFIX_LENGTH
from usage import orders

GB: Final = 2**30


@dataclass(frozen=True, slots=True)
class DemoOrder:
    customer: str
    name: str
    proxy_type: ProxyType
    network: Network
    limit_bytes: int | None


CUSTOMERS: Final = ("alice", "bob", "carol", "dave")
ORDERS: Final = (
    DemoOrder("alice", "Residential 100 GB", ProxyType.RESIDENTIAL_GIGA, Network.RESIDENTIAL, 100 * GB),
    DemoOrder("alice", "Mobile 20 GB", ProxyType.MOBILE_GIGA, Network.MOBILE, 20 * GB),
    DemoOrder("bob", "Residential 10 GB", ProxyType.RESIDENTIAL_GIGA, Network.RESIDENTIAL, 10 * GB),
    DemoOrder("carol", "Static ISP proxies", ProxyType.SERVER_STATIC, Network.ISP, None),
    DemoOrder("dave", "Datacenter 500 GB", ProxyType.DATACENTER_GIGA, Network.DATACENTER, 500 * GB),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What to sign in and to call with."""

    password: str
    read_key: str
    ingest_key: str
    application: Application
    application_keys: Keys


def make_accounts(now: datetime) -> Credentials:
    """Makes what is missing of the demo's accounts; returns how to get in."""
    password = _derived("password")[:12]
    with transaction.atomic():
        _user("admin", password, is_staff=True, is_superuser=True)
        worker = _user("worker", password)
        customers = {name: _user(name, password) for name in CUSTOMERS}
        for order in ORDERS:
            _order(customers[order.customer], order, now)
        return Credentials(
            password,
            _key(customers["alice"], "demo", [Scope.READ], now),
            _key(worker, "demo worker", [Scope.INGEST], now),
            *_application(customers["alice"], now),
        )


def _derived(purpose: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), f"demo {purpose}".encode(), hashlib.sha256).hexdigest()


def _user(name: str, password: str, **flags: bool) -> User:
    user = User.objects.filter(username=name).first()
    return user or User.objects.create_user(name, f"{name}@example.com", password, **flags)


def _order(customer: User, wanted: DemoOrder, now: datetime) -> None:
    product, _ = Product.objects.get_or_create(
        name=wanted.name, defaults={"proxy_type": wanted.proxy_type, "network": wanted.network}
    )
    if Order.objects.filter(user=customer, product=product).exists():
        return
    order = orders.buy(
        user=customer,
        product=product,
        name=wanted.name,
        limit_bytes=wanted.limit_bytes,
        started_at=now - timedelta(days=61),
        expires_at=now + timedelta(days=305),
        now=now,
    )
    login = _login(customer.username, wanted.network)
    if not ProxyUser.objects.filter(login=login).exists():
        orders.set_logins(order, [login], now)


def _login(customer: str, network: Network) -> str:
    """A customer's first order goes by the customer's own name, as proxies often have it."""
    first = next(order for order in ORDERS if order.customer == customer)
    return customer if first.network == network else f"{customer}-{network.value}"


def _key(user: User, name: str, scopes: Sequence[Scope], now: datetime) -> str:
    secret = KEY_START + _derived(f"key {user.username}")
    ApiKey.objects.get_or_create(
        key_hash__in=peppers.hashes(secret),
        defaults={
            **peppers.stored(secret)._asdict(),
            "user": user,
            "name": name,
            "prefix": secret[:PREFIX_LENGTH],
            "can_read": Scope.READ in scopes,
            "can_ingest": Scope.INGEST in scopes,
            "created_at": now,
        },
    )
    return secret


def _application(owner: User, now: datetime) -> tuple[Application, Keys]:
    application, _ = Application.objects.get_or_create(user=owner, name="Shop API", defaults={"created_at": now})
    keys = Keys(*(_application_key(kind) for kind in Keys._fields))
    for kind, secret in keys._asdict().items():
        ApplicationKey.objects.get_or_create(
            key_hash__in=peppers.hashes(secret),
            defaults={
                **peppers.stored(secret)._asdict(),
                "application": application,
                "kind": kind,
                "hint": secret[:4],
                "created_at": now,
            },
        )
    return application, keys


def _application_key(kind: str) -> str:
    return urlsafe_b64encode(bytes.fromhex(_derived(f"application {kind}"))[:KEY_BYTES]).decode()
