"""The part of ``bench.admin`` that runs in a process with Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from time import clock_gettime, perf_counter, process_time
from typing import Any, Final
from unittest.mock import patch

from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, User
from analytics.models import IngestBatch, InsertBlock
from bench.geo_counts import fill_addresses
from geo.models import StaticIp
from orders.models import CutOff, Network, Order, Product, ProxyType, ProxyUser
from usage.models import Alert, Delivery, Firing

CHUNK: Final = 10_000
ORDERS_A_CUSTOMER: Final = 5
ORDERS_A_BATCH: Final = 50
DAYS: Final = 9
LIMIT: Final = 2**40

_browser = Client(SERVER_NAME="localhost")


def fill(addresses: int, orders: int) -> None:
    """Creates orders with a login, a state, an alert, a purchase and nine days each, and a fifth as many customers."""
    fill_addresses(addresses)
    StaticIp.objects.filter(pk__lte=10).update(is_available=False)
    now = timezone.now()
    product = Product.objects.create(name="R", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL)
    customers = orders // ORDERS_A_CUSTOMER
    _create(User, (User(pk=n, username=f"c{n}") for n in range(1, customers + 1)))
    _create(Order, (_order(n, 1 + n % customers, product, now) for n in range(1, orders + 1)))
    numbers = range(1, orders + 1)
    _create(ProxyUser, (ProxyUser(order_id=n, login=f"login-{n}") for n in numbers))
    _create(CutOff, (CutOff(order_id=n, state=_state(n), number=n, changed_at=now) for n in numbers))
    _create(Alert, (_alert(n, now) for n in numbers))
    firings = [_firing(alert, now) for alert in Alert.objects.filter(order_id__lte=orders // 5).iterator()]
    _create(Firing, iter(firings))
    _create(Delivery, (_delivery(firing, number, now) for number, firing in enumerate(firings)))
    _fill_ledger(now)
    _create(ApiKey, (ApiKey(user_id=1 + n % customers, name="k", prefix="fnp_", key_hash=str(n)) for n in numbers))
    blocks = [InsertBlock(created_at=now, claimed_until=now, settled_at=now) for _ in range(orders // 2)]
    _create(InsertBlock, iter(blocks))
    _create(IngestBatch, (_batch(block, number, orders, now) for number, block in enumerate(blocks)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    User.objects.create_superuser("root", pk=10**6)


def _create(model: Any, rows: Iterator[Any]) -> None:
    model.objects.bulk_create(rows, batch_size=CHUNK)


def _order(number: int, user_id: int, product: Product, now: datetime) -> Order:
    return Order(
        pk=number,
        user_id=user_id,
        product=product,
        name=f"Order {number}",
        traffic_limit_bytes=LIMIT,
        started_at=now - timedelta(days=number % 365),
        expires_at=now + timedelta(days=1 + number % 365),
    )


def _state(number: int) -> str:
    return CutOff.State.EXHAUSTED if number % 1000 == 0 else CutOff.State.ACTIVE


def _alert(number: int, now: datetime) -> Alert:
    return Alert(order_id=number, threshold=80, method="email", target="t", created_at=now)


def _firing(alert: Alert, now: datetime) -> Firing:
    return Firing(
        alert=alert,
        arming=1,
        threshold=80,
        used_bytes=LIMIT,
        limit_bytes=LIMIT,
        fired_at=now - timedelta(minutes=alert.pk),
        runs_out_at=now + timedelta(hours=alert.pk),
    )


def _delivery(firing: Firing, number: int, now: datetime) -> Delivery:
    delivered = None if number % 1000 == 0 else now
    return Delivery(firing=firing, target="a@example.com", attempts=1, next_attempt_at=now, delivered_at=delivered)


def _fill_ledger(now: datetime) -> None:
    """A purchase and nine days of usage of each order, copied from the orders by the database."""
    today, at = now.date(), connection.ops.adapt_datetimefield_value(now)
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    lines = [
        ("service_purchase", LIMIT, 0, days[0], None, 1),
        *(("usage", -(2**30), 10, day, day, None) for day in days),
    ]
    columns = "reason, bytes, requests, period_date, usage_day, period_number, closes_period, author, note, created_at"
    with connection.cursor() as cursor:
        for line in lines:
            values = (*line, False, "", "", at, at)
            cursor.execute(
                f"INSERT INTO ledger_entries (order_id, {columns}, updated_at)"
                f" SELECT id, {', '.join(['%s'] * len(values))} FROM orders_order",
                values,
            )


def _batch(block: InsertBlock, number: int, orders: int, now: datetime) -> IngestBatch:
    """A batch of a gateway that carries the traffic of fifty orders."""
    today = f"{now:%Y-%m-%d}"
    return IngestBatch(
        route="traffic",
        rows=ORDERS_A_BATCH,
        size=1000,
        dirty_days=[(1 + (number * ORDERS_A_BATCH + n) % orders, today) for n in range(ORDERS_A_BATCH)],
        created_at=now,
        claimed_until=now,
        block=block,
        settled_at=now,
    )


def pages() -> dict[str, str]:
    """Paths in the admin, by what they show."""
    today: date = timezone.now().date()
    return {
        "first page": "",
        "search, by order": "search/?q=rder+77",
        "search, by login": "search/?q=ogin-77",
        "search, by address": "search/?q=10.0.3.7",
        "a customer": "customers/77/",
        "who runs out": "outlook/",
        "orders that end": "outlook/?show=ending",
        "usage by product": "usage-report/",
        "usage by customer": "usage-report/?group=customer",
        "multipliers": "geo/multiplier/",
        "abuse reports": "analytics/abusereport/",
        "new customers without traffic": "outlook/?show=never-used",
        "a disputed day": f"evidence/777/{today}/",
        "static IPs": "geo/staticip/",
        "static IPs, page 90": "geo/staticip/?p=90",
        "static IPs, by address": "geo/staticip/?q=10.0.3.",
        "static IPs, none found": "geo/staticip/?q=192.0.2.",
        "static IPs, the few not available": "geo/staticip/?is_available__exact=0",
        "static IPs, of a type": "geo/staticip/?proxy_type__exact=shared-proxy",
        "static IPs of a range, with their users": "addresses/?range=10.0.3.0/24",
        "audit records": "accounts/auditrecord/",
        "orders": "orders/order/",
        "orders, by name": "orders/order/?q=Order+77",
        "orders, by login": "orders/order/?q=login-777",
        "orders, none found": "orders/order/?q=nothing",
        "orders, exhausted": "orders/order/?state=exhausted",
        "orders, ending soon": "orders/order/?ends=soon",
        "orders, of another network": "orders/order/?product__network=mobile",
        "an order": "orders/order/777/change/",
        "users": "accounts/user/",
        "users, by name": "accounts/user/?q=c77",
        "users with traffic today": "accounts/user/?traffic=today",
        "proxy users": "orders/proxyuser/",
        "proxy users, by login": "orders/proxyuser/?q=login-777",
        "proxy users, of a customer": "orders/proxyuser/?customer=77",
        "API keys": "accounts/apikey/",
        "ledger": "orders/ledgerentry/",
        "ledger, by user": "orders/ledgerentry/?q=c77",
        "ledger, of a customer": "orders/ledgerentry/?customer=77",
        "ledger, refunds": "orders/ledgerentry/?reason__exact=refund",
        "ledger, today": f"orders/ledgerentry/?period_date__gte={today}&period_date__lt={today + timedelta(days=1)}",
        "cut-offs": "orders/cutoff/",
        "alerts": "usage/alert/",
        "firings": "usage/firing/",
        "firings, failing": "usage/firing/?delivery=failing",
        "batches": "analytics/ingestbatch/",
        "blocks": "analytics/insertblock/",
    }


def milliseconds(path: str) -> list[float]:
    """One response to a member of staff: time by the clock, in database statements, and of processors, here and in
    PostgreSQL."""
    if not _browser.session.get("_auth_user_id"):
        _browser.force_login(User.objects.get(username="root"))
    _database.seconds = 0.0
    began, used = perf_counter(), _processor_time()
    with patch.object(connection, "create_cursor", partial(_timed_cursor, connection.create_cursor)):
        answer = _browser.get(f"/admin/{path}")
    if answer.status_code != 200:
        raise RuntimeError(f"{path} was answered with {answer.status_code}")
    return [1000 * time for time in (perf_counter() - began, _database.seconds, _processor_time() - used)]


@dataclass
class _Database:
    """The time that statements took, and the fetching of their rows: SQLite finds most of them only then."""

    seconds: float = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds += perf_counter() - began

        return timed


_database = _Database()


class _TimedCursor:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cursor, name)
        return _database.timed(found) if name.startswith(("execute", "fetch")) else found

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchone, None)


def _timed_cursor(create: Callable[..., Any], name: str | None = None) -> _TimedCursor:
    return _TimedCursor(create(name))


def _processor_time() -> float:
    """Seconds of this process, and of the PostgreSQL process that serves it; without that one's parallel workers."""
    if connection.vendor != "postgresql":
        return process_time()
    connection.ensure_connection()
    number: int = connection.connection.info.backend_pid
    return process_time() + clock_gettime((~number << 3) | 2)  # as clock_getcpuclockid(3) makes it on Linux
