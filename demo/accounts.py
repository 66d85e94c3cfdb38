"""The demo provider: staff, customers, orders, and a gateway account that may push traffic.

All functions can run any number of times. Passwords and keys are derived from the installation's own secret: they stay
the same from run to run and are unique to this demo.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from accounts import peppers
from accounts.applications import KEY_BYTES, Keys
from accounts.models import ApiKey, Application, ApplicationKey, Scope, User
from accounts.services import KEY_START, PREFIX_LENGTH
from fonproxy.units import GIB
from orders import passwords
from orders import services as order_services
from orders.models import Network, Order, Product, ProxyType, ProxyUser
from orders.periods import Every, RecurringPeriod


@dataclass(frozen=True, slots=True)
class DemoOrder:
    customer: str
    name: str
    proxy_type: ProxyType
    network: Network
    limit_bytes: int | None
    renews: bool = False


# Before the first of the two months of traffic.
OPENED: Final = timedelta(days=61)
WORKERS_KEY: Final = "demo worker"
CUSTOMERS: Final = ("alice", "bob", "carol", "dave")
ORDERS: Final = (
    DemoOrder("alice", "Residential 100 GB", ProxyType.RESIDENTIAL_GIGA, Network.RESIDENTIAL, 100 * GIB, renews=True),
    DemoOrder("alice", "Mobile 20 GB", ProxyType.MOBILE_GIGA, Network.MOBILE, 20 * GIB),
    DemoOrder("bob", "Residential 10 GB", ProxyType.RESIDENTIAL_GIGA, Network.RESIDENTIAL, 10 * GIB),
    DemoOrder("carol", "Static ISP proxies", ProxyType.SERVER_STATIC, Network.ISP, None),
    DemoOrder("dave", "Datacenter 500 GB", ProxyType.DATACENTER_GIGA, Network.DATACENTER, 500 * GIB),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Passwords and API keys of the demo accounts."""

    password: str
    read_key: str
    write_key: str
    ingest_key: str
    application: Application
    application_keys: Keys


def make_accounts(now: datetime) -> Credentials:
    """Creates missing demo accounts; returns their credentials."""
    password = derived("password")[:12]
    with transaction.atomic():
        _user("admin", password, is_staff=True, is_superuser=True)
        worker = _user("worker", password)
        customers = {name: _user(name, password, date_joined=now - OPENED) for name in CUSTOMERS}
        for order in ORDERS:
            _order(customers[order.customer], order, password, now)
        return Credentials(
            password,
            key(customers["alice"], "demo", [Scope.READ], now),
            key(customers["alice"], "demo write", [Scope.READ, Scope.WRITE], now),
            key(worker, WORKERS_KEY, [Scope.INGEST], now),
            *_application(customers["alice"], now),
        )


def ingest_key() -> str:
    """The key of the demo's gateways."""
    return KEY_START + derived(f"key {WORKERS_KEY}")


def derived(purpose: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), f"demo {purpose}".encode(), hashlib.sha256).hexdigest()


def _user(name: str, password: str, **values: Any) -> User:
    user = User.objects.filter(username=name).first()
    return user or User.objects.create_user(name, f"{name}@example.com", password, **values)


def _order(customer: User, wanted: DemoOrder, password: str, now: datetime) -> None:
    product, _ = Product.objects.get_or_create(
        name=wanted.name, defaults={"proxy_type": wanted.proxy_type, "network": wanted.network}
    )
    if Order.objects.filter(user=customer, product=product).exists():
        return
    started_at = now - OPENED
    order = order_services.buy(
        user=customer,
        product=product,
        name=wanted.name,
        limit_bytes=wanted.limit_bytes,
        started_at=started_at,
        expires_at=now + timedelta(days=305),
        now=started_at,
    )
    Order.objects.filter(pk=order.pk).update(created_at=started_at)
    if wanted.renews:
        _renew_monthly(order, now)
    login = _login(customer.username, wanted.network)
    if not ProxyUser.objects.filter(login=login).exists():
        order_services.set_logins(order, {login: {"verifier": passwords.verifier_of(password)}}, now)
        ProxyUser.objects.filter(login=login).update(created_at=started_at)


def _renew_monthly(order: Order, now: datetime) -> None:
    """Renews monthly from next month on, because the two months of demo traffic are one period."""
    order_services.change(
        order,
        author="demo",
        now=now,
        name=order.name,
        limit_bytes=order.traffic_limit_bytes,
        started_at=order.started_at,
        expires_at=order.expires_at,
        period=RecurringPeriod(Every.MONTH, now.astimezone(UTC).date().replace(day=1), rollover=True),
        day_limit_bytes=None,
    )


def _login(customer: str, network: Network) -> str:
    """The login of a customer's first order is the customer's name."""
    first = next(order for order in ORDERS if order.customer == customer)
    return customer if first.network == network else f"{customer}-{network.value}"


def key(user: User, name: str, scopes: Sequence[Scope], now: datetime) -> str:
    secret = KEY_START + derived(f"key {name}")
    ApiKey.objects.get_or_create(
        key_hash__in=peppers.hashes(secret),
        defaults={
            **peppers.stored(secret)._asdict(),
            "user": user,
            "name": name,
            "prefix": secret[:PREFIX_LENGTH],
            **{scope.column: scope in scopes for scope in Scope},
            "created_at": now,
        },
    )
    return secret


def _application(owner: User, now: datetime) -> tuple[Application, Keys]:
    application, _ = Application.objects.get_or_create(
        user=owner, name="Shop API", defaults={"created_at": now - OPENED}
    )
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
    return urlsafe_b64encode(bytes.fromhex(derived(f"application {kind}"))[:KEY_BYTES]).decode()
