"""The part of ``bench.gateway`` that runs in a process with Django."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Sum
from django.utils import timezone

from accounts.models import User
from accounts.services import issue_key
from analytics.models import IngestBatch
from bench.bodies import Owner
from bench.customers import make_orders
from orders import passwords
from orders.models import CutOffCounter, LedgerEntry, LedgerReason, Order, ProxyUser

PASSWORD: Final = "password-of-all"
DAYS: Final = 60


def fill(orders: int, logins: int, fresh: int) -> tuple[str, list[Owner]]:
    """Orders with two months of usage lines, logins among them, and ``fresh`` ones each with a hash of its own.

    Returns a gateway's key, which may push too, and the owners. The logins share a hash: a hundred thousand of them
    take minutes to compute.
    """
    owners = make_orders(100, orders)
    Order.objects.update(traffic_limit_bytes=2**50)
    now = timezone.now()
    lines = (
        LedgerEntry(
            order_id=owner.order_id,
            reason=LedgerReason.USAGE,
            bytes=-1000,
            period_date=(now - timedelta(days=day)).date(),
            usage_day=(now - timedelta(days=day)).date(),
            created_at=now,
            updated_at=now,
        )
        for owner in owners
        for day in range(DAYS)
    )
    purchases = (
        LedgerEntry(
            order_id=owner.order_id,
            reason=LedgerReason.SERVICE_PURCHASE,
            bytes=2**50,
            period_date=now.date(),
            created_at=now,
            updated_at=now,
        )
        for owner in owners
    )
    LedgerEntry.objects.bulk_create([*lines, *purchases], batch_size=5000)
    shared = passwords.verifier_of(PASSWORD)
    ProxyUser.objects.bulk_create(
        [
            ProxyUser(
                login=f"warm-{number}",
                order_id=owners[number % len(owners)].order_id,
                verifier=shared,
                number=number + 1,
            )
            for number in range(logins)
        ]
        + [
            ProxyUser(
                login=f"fresh-{number}",
                order_id=owners[number % len(owners)].order_id,
                verifier=passwords.verifier_of(PASSWORD),
                number=logins + number + 1,
            )
            for number in range(fresh)
        ],
        batch_size=5000,
    )
    CutOffCounter.objects.update_or_create(pk=1, defaults={"last": logins + fresh})
    staff = User.objects.create(username="staff", is_staff=True)
    return issue_key(user=staff, name="bench", scopes=["gateway", "ingest"], now=now)[1], owners


def rows_of(route: str) -> int:
    """How many rows reached the engine by one route of the journal."""
    batches = IngestBatch.objects.filter(route=IngestBatch.Route[route.upper()])
    return batches.aggregate(rows=Sum("rows"))["rows"] or 0
