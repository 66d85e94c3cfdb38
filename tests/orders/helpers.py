"""Orders for tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.models import User
from orders import services
from orders.models import Erasure, LedgerEntry, Network, Order, Product, ProxyType


def bought(
    user: User,
    network: str = Network.RESIDENTIAL,
    limit: int | None = None,
    logins: tuple[str, ...] = (),
    **fields: Any,
) -> Order:
    product, _ = Product.objects.get_or_create(
        name=f"{network} product", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=network
    )
    now = timezone.now()
    started_at = min(now, fields.get("expires_at") or now)
    given: dict[str, Any] = {"name": "Order", "started_at": started_at, "expires_at": None, "now": now} | fields
    suspended_at = given.pop("suspended_at", None)
    order = services.buy(user=user, product=product, limit_bytes=limit, **given)
    if suspended_at is not None:
        Order.objects.filter(pk=order.pk).update(suspended_at=suspended_at)
        order.refresh_from_db()
    services.set_logins(order, {login: {} for login in logins}, now)
    return order


def empty_ledger() -> None:
    """For tests that commit: the database lets the ledger be emptied for erasure only."""
    Erasure.objects.bulk_create(Erasure(order=order) for order in Order.objects.all())
    LedgerEntry.objects.all().delete()


def change(order: Order, now: datetime, **changes: Any) -> Order:
    """Changes only the given fields, as a billing system that repeats all the others."""
    order.refresh_from_db()
    same: dict[str, Any] = {
        "name": order.name,
        "limit_bytes": order.traffic_limit_bytes,
        "started_at": order.started_at,
        "expires_at": order.expires_at,
        "period": order.period,
        "day_limit_bytes": order.day_limit_bytes,
    }
    return services.change(order, author="shop", now=now, **(same | changes))
