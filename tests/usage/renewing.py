"""One process of the renewals' torture, on the stores that the environment names.

python -m tests.usage.renewing setup               the schema, and orders that renew every day
python -m tests.usage.renewing work EPOCH          renews and meters, a day in two seconds, until it is killed
python -m tests.usage.renewing use SEED EPOCH      pushes traffic until its input ends; prints its size by order
python -m tests.usage.renewing check EPOCH         renews and posts what is left; prints every figure
"""

from __future__ import annotations

import json
import random
import select
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from analytics.ingest.flusher import flusher  # noqa: E402
from fonproxy.clickhouse import migrator  # noqa: E402
from fonproxy.clickhouse.client import get_client  # noqa: E402
from orders import ledger, renewals  # noqa: E402
from orders import services as order_services  # noqa: E402
from orders.models import LedgerEntry, LedgerReason, Network, Order, Product, ProxyType  # noqa: E402
from orders.periods import Every, RecurringPeriod  # noqa: E402
from tests.usage.helpers import carry  # noqa: E402
from usage import metering  # noqa: E402

ORDERS: Final = 8
LIMIT: Final = 1_000_000
START: Final = datetime(2027, 1, 1, 9, tzinfo=UTC)
DAYS_A_SECOND: Final = 0.5
ZONES: Final = ("UTC", "Asia/Tokyo")


def clock(epoch: float) -> datetime:
    """The simulated time: it began at START when the real time was ``epoch``, and runs fast."""
    return START + (timezone.now().timestamp() - epoch) * DAYS_A_SECOND * timedelta(days=1)


def setup() -> None:
    call_command("migrate", verbosity=0)
    migrator.migrate(get_client())
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
            started_at=START,
            expires_at=None,
            now=START,
            period=RecurringPeriod(Every.DAY, START.date(), ZONES[number % 2], rollover=number % 4 > 1),
        )


def work(epoch: float) -> None:
    while True:
        renewals.renew_due(clock(epoch))
        metering.post_usage(clock(epoch))


def use(seed: int, epoch: float) -> None:
    chance = random.Random(seed)
    carried: Counter[int] = Counter()
    orders = list(Order.objects.order_by("pk"))
    while len(carried) < ORDERS or not select.select([sys.stdin], [], [], 0)[0]:  # a slow machine gets the time
        order, size = chance.choice(orders), chance.randrange(1, 1000)
        carry(order, clock(epoch), size)
        carried[order.pk] += size
    print(json.dumps(carried))  # noqa: T201


def check(epoch: float) -> None:
    flusher.replay()
    now = clock(epoch)
    renewals.renew_due(now)
    metering.post_usage(now)
    orders = list(Order.objects.order_by("pk"))
    used = ledger.used_in_total([order.pk for order in orders])
    balances = ledger.balances([order.pk for order in orders])
    bought = LedgerEntry.objects.exclude(reason=LedgerReason.USAGE)
    found = {
        order.pk: {
            "renewed": list(
                bought.filter(order=order, reference__isnull=False).order_by("pk").values_list("reference", flat=True)
            ),
            "expected": list(expected_names(order, now)),
            "used": used[order.pk],
            "used in period": used[order.pk] - order.used_before_period,
            "limit": order.limit_bytes,
            "balance": balances[order.pk],
            "rollover": order.period_rollover,
        }
        for order in orders
    }
    print(json.dumps(found))  # noqa: T201


def expected_names(order: Order, now: datetime) -> list[str]:
    assert order.period
    days = (order.period.boundary(number) for number in range((now - START).days + 3))
    return [f"period-{day}" for day, at in days if START < at <= now]


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    steps: dict[str, Callable[[], None]] = {
        "setup": setup,
        "work": lambda: work(float(arguments[0])),
        "use": lambda: use(int(arguments[0]), float(arguments[1])),
        "check": lambda: check(float(arguments[0])),
    }
    steps[step]()
