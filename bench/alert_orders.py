"""The part of ``bench.alerts`` that runs in a process with Django and an engine."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

from django.utils import timezone

from accounts.models import User
from analytics import reports
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import BACKGROUND
from orders.models import Network, Order, Product, ProxyType
from usage.alerts import evaluation
from usage.models import Alert, Firing

CUSTOMERS: Final = 1000
LIMIT: Final = 2**50
DAYS: Final = 62


def fill(orders: int, buckets: int) -> int:
    """Creates the orders with an alert each, and buckets spread evenly over them. Returns the number of buckets."""
    now = timezone.now()
    product = Product.objects.create(name="R", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL)
    User.objects.bulk_create(User(pk=number, username=f"c{number}") for number in range(1, CUSTOMERS + 1))
    Order.objects.bulk_create(
        Order(pk=number, user_id=1 + number % CUSTOMERS, product=product, name="R", traffic_limit_bytes=LIMIT)
        for number in range(1, orders + 1)
    )
    Alert.objects.bulk_create(
        Alert(order_id=number, threshold=80, method="email", target="t", created_at=now)
        for number in range(1, orders + 1)
    )
    return _fill_engine(orders, buckets, now - timedelta(days=DAYS))


def _fill_engine(orders: int, buckets: int, start: datetime) -> int:
    first = int(start.timestamp()) // 900 * 900
    quarters, step = DAYS * 96, 2_000_000
    for offset in range(0, buckets, step):
        get_client().command(
            f"""
INSERT INTO order_traffic
SELECT
    1 + order_id % {CUSTOMERS} AS user_id,
    toDateTime({first} + intDiv(number, {orders}) * {quarters * orders // buckets * 900}, 'UTC') AS bucket,
    1 + number % {orders} AS order_id,
    'US' AS country, 1 AS rows, 10 AS count, 1000 AS bytes_sent, 100000 AS bytes_received,
    0 AS error_count, 100 AS duration_ms, 1 AS max_concurrency
FROM numbers({offset}, {min(step, buckets - offset)})
""",
            tag="bench.fill",
        )
    get_client().command("OPTIMIZE TABLE order_traffic FINAL", tag="bench.fill")
    [(rows,)] = get_client().fetch("SELECT count() FROM order_traffic", tag="bench.fill")
    return int(rows)


def seconds_of_query() -> float:
    orders = list(Order.objects.values_list("pk", flat=True))
    started = perf_counter()
    get_client().fetch(reports.LIFETIME_BYTES, {"orders": orders}, profile=BACKGROUND, tag="bench.alerts")
    return perf_counter() - started


def seconds_of_evaluation() -> float:
    started = perf_counter()
    assert evaluation.evaluate(timezone.now()) == 0
    return perf_counter() - started


def seconds_of_firing(due: int) -> float:
    """How much longer an evaluation takes when this many alerts fire."""
    without = seconds_of_evaluation()
    Order.objects.filter(pk__lte=due).update(traffic_limit_bytes=1)
    started = perf_counter()
    assert evaluation.evaluate(timezone.now()) == due == Firing.objects.count()
    return perf_counter() - started - without
