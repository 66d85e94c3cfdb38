"""One process of the ledger's torture, on the stores that the environment names.

python -m tests.usage.accounting setup          the schema, and orders of one customer; prints their ids
python -m tests.usage.accounting work           keeps accounts until it is killed
python -m tests.usage.accounting use SEED       pushes traffic and credits until its input ends; prints what it did
python -m tests.usage.accounting check          posts what is left; prints every figure
"""

from __future__ import annotations

import json
import random
import select
import sys
from collections import Counter
from datetime import timedelta
from typing import Final

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from analytics.ingest.flusher import flusher  # noqa: E402
from fonproxy.clickhouse import migrator  # noqa: E402
from fonproxy.clickhouse.client import get_client  # noqa: E402
from orders import ledger  # noqa: E402
from orders import services as order_services  # noqa: E402
from orders.models import CutOff, LedgerEntry, LedgerReason, Network, Order, Product, ProxyType  # noqa: E402
from tests.usage.helpers import carry  # noqa: E402
from usage import metering, tasks  # noqa: E402

ORDERS: Final = 6
LIMIT: Final = 20_000
DAYS: Final = 10


def setup() -> None:
    call_command("migrate", verbosity=0)
    migrator.migrate(get_client())
    now = timezone.now()
    user = User.objects.create_user("customer")
    product = Product.objects.create(
        name="Residential", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL
    )
    for number in range(ORDERS):
        order_services.buy(
            user=user,
            product=product,
            name=f"Order {number}",
            limit_bytes=LIMIT,
            started_at=now - timedelta(days=DAYS),
            expires_at=None,
            now=now,
        )


def work() -> None:
    while True:
        tasks.keep_accounts()


def use(seed: int) -> None:
    """Each step is finished before it is counted: only the accounting processes are killed, never this one."""
    chance = random.Random(seed)
    carried: Counter[str] = Counter()
    added: Counter[int] = Counter()
    all_orders = list(Order.objects.order_by("pk"))
    while not select.select([sys.stdin], [], [], 0)[0]:
        order = chance.choice(all_orders)
        at = timezone.now() - timedelta(days=chance.randrange(DAYS))
        size = chance.randrange(1, 100)
        carry(order, at, size)
        carried[f"{order.pk} {at.date()}"] += size
        if not chance.randrange(8):
            reference = f"{seed} {added.total()}"
            for _ in range(2):
                order_services.credit(
                    order, LedgerReason.TOP_UP, 50, reference=reference, author="shop", now=timezone.now()
                )
            added[order.pk] += 50
    print(json.dumps({"carried": carried, "added": added}))  # noqa: T201


def check() -> None:
    flusher.replay()
    metering.post_usage(timezone.now())
    lines = LedgerEntry.objects.filter(reason=LedgerReason.USAGE)
    figures = {
        "usage": {f"{line.order_id} {line.usage_day}": -line.bytes for line in lines},
        "balances": ledger.balances(list(Order.objects.values_list("pk", flat=True))),
        "limits": {order.pk: order.limit_bytes for order in Order.objects.all()},
        "top ups": dict(
            LedgerEntry.objects.filter(reason=LedgerReason.TOP_UP)
            .order_by()
            .values_list("order_id")
            .annotate(Sum("bytes"))
        ),
        "states": dict(CutOff.objects.values_list("order_id", "state")),
    }
    print(json.dumps(figures))  # noqa: T201


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    {"setup": setup, "work": work, "use": lambda: use(int(arguments[0])), "check": check}[step]()
