"""The part of ``bench.billing`` that runs in a process with Django and an engine."""

from __future__ import annotations

import resource
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Final

from django.utils import timezone

from accounts.models import User
from analytics.billing import Periods
from fonproxy.clickhouse.client import get_client
from fonproxy.memory import share_arenas
from fonproxy.timerange import UTC_ZONE, Range
from orders.models import Network, Order, Product, ProxyType
from usage.billing.rows import BillingRequest, Group

ORDERS_OF_A_CUSTOMER: Final = 10
QUARTERS: Final = 30 * 96
START: Final = datetime(2026, 10, 1, tzinfo=UTC)
STEP: Final = 2_000_000
PAGE_BYTES: Final = resource.getpagesize()
TENTHS: Final = 10

share_arenas()  # as a serving process does


def fill(orders: int, buckets: int) -> int:
    """Creates the orders with this many buckets each, spread over 30 days. Returns the number of buckets."""
    product = Product.objects.create(name="R", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL)
    customers = orders // ORDERS_OF_A_CUSTOMER
    User.objects.bulk_create(
        User(pk=number, username=f"c{number}", external_id=f"c{number}") for number in range(1, customers + 1)
    )
    Order.objects.bulk_create(
        (
            Order(pk=number, user_id=1 + number % customers, product=product, name="R", external_id=f"o{number}")
            for number in range(1, orders + 1)
        ),
        batch_size=5000,
    )
    first, rows = int(START.timestamp()), orders * buckets
    for offset in range(0, rows, STEP):
        for table, detail in (("order_traffic", "'US'"), ("login_traffic", "order_id AS proxy_user_id, 'w1'")):
            get_client().command(
                f"""
INSERT INTO {table}
SELECT
    1 + order_id % {customers} AS user_id,
    toDateTime({first} + intDiv(number, {orders}) * {QUARTERS // buckets * 900}, 'UTC') AS bucket,
    1 + number % {orders} AS order_id, {detail},
    1 AS rows, 10 AS count, 1000 AS bytes_sent, 100000 AS bytes_received,
    0 AS error_count, 100 AS duration_ms, 1 AS max_concurrency
FROM numbers({offset}, {min(STEP, rows - offset)})
""",
                tag="bench.fill",
            )
    for table in ("order_traffic", "login_traffic"):
        get_client().command(f"OPTIMIZE TABLE {table} FINAL", tag="bench.fill")
    [(held,)] = get_client().fetch("SELECT count() FROM order_traffic", tag="bench.fill")
    return int(held)


def stream(group: str, by_day: bool) -> tuple[int, float, list[int]]:
    """Rows of the month, seconds of CPU, and the growth of the process in bytes during each tenth of the orders."""
    month = Range(START, START + timedelta(days=30))
    asked = BillingRequest(Periods.days(month, UTC_ZONE) if by_day else Periods.whole(month), Group(group))
    before, started, found, peaks = _resident(), process_time(), 0, [0] * TENTHS
    users = User.objects.count()
    for rows in asked.rows(timezone.now()):
        found += len(rows)
        tenth = min(TENTHS - 1, TENTHS * rows[0][0].user_id // users)
        peaks[tenth] = max(peaks[tenth], _resident() - before)
    return found, process_time() - started, peaks


def _resident() -> int:
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * PAGE_BYTES
