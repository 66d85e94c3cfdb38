"""A billing system that sends the same call several times at once, or calls in the wrong order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from threading import Barrier, Event
from typing import Any, TypeVar

import pytest
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import team
from accounts.models import Membership, Role, User
from analytics.gateway import sessions
from analytics.gateway.samples import SessionSample
from console import stop_everything
from fonproxy.clickhouse.client import Client
from orders import ledger, proxy_users, renewals
from orders import services as order_services
from orders.models import CutOff, Erasure, LedgerEntry, LedgerReason, Order, ProxySession, ProxyUser
from orders.periods import Every, RecurringPeriod
from tests.accounts.helpers import access, empty_audit_trail
from tests.orders.helpers import empty_ledger
from tests.usage.helpers import carry
from usage import limits, metering

AT_ONCE = 6
ORDER = {"user": "c", "name": "Residential", "proxyType": "residential-giga", "trafficLimitBytes": 1000}

Call = tuple[str, str, dict[str, Any]]


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Commits what a test writes; empties the ledger afterwards."""
    yield
    empty_ledger()
    empty_audit_trail()


@pytest.fixture
def at_once(committed: None, staff: User) -> Callable[[Iterable[Call]], list[int]]:
    """Makes the calls from as many threads, all started together; returns the statuses."""
    token = access(staff)

    def make(calls: Iterable[Call]) -> list[int]:
        calls = list(calls)
        start = Barrier(len(calls))

        def one(call: Call) -> int:
            method, path, body = call
            client = APIClient(raise_request_exception=False)
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
            start.wait()
            try:
                status: int = client.generic(
                    method, f"/provisioning/{path}", json.dumps(body), "application/json"
                ).status_code
                return status
            finally:
                connection.close()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(one, calls))

    return make


def test_the_same_customer_and_order_put_at_once_are_made_once(at_once: Callable[[Iterable[Call]], list[int]]) -> None:
    assert sorted(at_once([("PUT", "users/c", {"email": "c@example.com"})] * AT_ONCE)) == [200] * (AT_ONCE - 1) + [201]
    put = ("PUT", "orders/o", {**ORDER, "proxyUsers": ["a", "b"]})
    assert sorted(at_once([put] * AT_ONCE)) == [200] * (AT_ONCE - 1) + [201]
    order = Order.objects.get()
    assert LedgerEntry.objects.get().bytes == 1000
    assert order.proxy_users.count() == 2


def test_a_reference_at_once_is_posted_once_and_other_amounts_are_conflicts(
    at_once: Callable[[Iterable[Call]], list[int]],
) -> None:
    at_once([("PUT", "users/c", {})])
    at_once([("PUT", "orders/o", ORDER)])
    top_ups = [("POST", "orders/o/top-ups", {"reference": "r", "bytes": 50})] * AT_ONCE
    assert sorted(at_once(top_ups)) == [200] * (AT_ONCE - 1) + [201]
    different = [("POST", "orders/o/top-ups", {"reference": "s", "bytes": size}) for size in range(1, 1 + AT_ONCE)]
    assert sorted(at_once(different)) == [201] + [409] * (AT_ONCE - 1)
    renewals = [("POST", "orders/o/renewals", {"reference": "n", "bytes": 70})] * AT_ONCE
    assert sorted(at_once(renewals)) == [200] * (AT_ONCE - 1) + [201]
    order = Order.objects.get()
    assert (order.limit_bytes, ledger.balance(order), order.period_number) == (70, 70, 2)


def test_concurrent_credits_sum_up_in_any_order(at_once: Callable[[Iterable[Call]], list[int]]) -> None:
    at_once([("PUT", "users/c", {})])
    at_once([("PUT", "orders/o", ORDER)])
    kinds = ("top-ups", "refunds", "adjustments")
    calls: list[Call] = [
        ("POST", f"orders/o/{kind}", {"reference": kind, "bytes": size}) for size, kind in enumerate(kinds, 1)
    ]
    assert at_once(calls * 2).count(201) == 3
    assert at_once(reversed(calls)) == [200] * 3
    order = Order.objects.get()
    assert (order.limit_bytes, ledger.balance(order)) == (1006, 1006)
    added = order.ledger.exclude(reason=LedgerReason.SERVICE_PURCHASE)
    assert {entry.adjustment_number for entry in added} == {1, 2, 3}


def test_orders_that_end_at_once_get_different_numbers_in_the_feed(
    at_once: Callable[[Iterable[Call]], list[int]],
) -> None:
    at_once([("PUT", "users/c", {})])
    for number in range(AT_ONCE):
        at_once([("PUT", f"orders/o{number}", ORDER)])
    calls: list[Call] = [("POST", f"orders/o{number}/expire", {}) for number in range(AT_ONCE)]
    assert at_once(calls) == [200] * AT_ONCE
    numbers = list(CutOff.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(numbers[0], numbers[0] + AT_ONCE))


def test_a_late_repeat_of_an_old_put_is_applied_as_it_stands(at_once: Callable[[Iterable[Call]], list[int]]) -> None:
    """A PUT states the wanted result; the last one to arrive wins, and what was added to the limit stays."""
    at_once([("PUT", "users/c", {})])
    later = f"{timezone.now() + timedelta(days=9):%Y-%m-%d}"
    at_once([("PUT", "orders/o", {**ORDER, "trafficLimitBytes": 5000, "expiresAt": later})])
    at_once([("POST", "orders/o/top-ups", {"reference": "r", "bytes": 50})])
    at_once([("PUT", "orders/o", ORDER)])
    order = Order.objects.get()
    assert (order.limit_bytes, ledger.balance(order)) == (1050, 1050)


def close_expired_behind(change: Callable[[], object], now: datetime) -> int:
    """Closes expired orders in a thread that finds them before the change is committed; yields its return value."""
    has_looked = Event()

    def look(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        found = execute(sql, *rest)
        if Order._meta.db_table in sql:
            has_looked.set()
        return found

    def close() -> int:
        try:
            with connection.execute_wrapper(look):
                return order_services.close_expired(now)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            change()
            closing = pool.submit(close)
            assert has_looked.wait(30)
            _wait_for_lock(closing)
        return closing.result()


def _wait_for_lock(closing: Future[int]) -> None:
    """Waits until the thread waits for a row of PostgreSQL; on SQLite it can begin no transaction before ours ends."""
    deadline = time.monotonic() + 30
    while connection.vendor == "postgresql" and not closing.done() and time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone():
                return
        time.sleep(0.01)


def test_an_order_that_is_renewed_while_expired_orders_are_closed_stays_open(
    committed: None, alice: User, make_order: Callable[..., Order]
) -> None:
    now = timezone.now()
    ends = now - timedelta(hours=1)
    order = make_order(
        alice, limit=100, started_at=ends - timedelta(days=1), expires_at=ends, now=ends - timedelta(days=1)
    )

    def renew() -> None:
        order_services.renew(
            order, reference="n", author="shop", amount=70, expires_at=now + timedelta(days=1), now=now
        )

    close_expired_behind(renew, now)
    order.refresh_from_db()
    assert (order.period_closed_at, ledger.balance(order), order.limit_bytes) == (None, 70, 70)
    assert CutOff.objects.exclude(state=CutOff.State.ACTIVE).count() == 0


def test_an_order_that_is_deleted_while_expired_orders_are_closed_does_not_keep_the_others_open(
    committed: None, alice: User, make_order: Callable[..., Order]
) -> None:
    now = timezone.now()
    ends = now - timedelta(hours=1)
    life: dict[str, Any] = {"started_at": ends - timedelta(days=1), "expires_at": ends, "now": ends - timedelta(days=1)}
    first, second = (make_order(alice, limit=100, **life) for _ in range(2))

    def delete() -> None:
        Erasure.objects.create(order=first)
        LedgerEntry.objects.filter(order=first).delete()
        Erasure.objects.filter(order=first).delete()
        CutOff.objects.filter(order=first).delete()
        first.delete()

    close_expired_behind(delete, now)
    second.refresh_from_db()
    assert second.period_closed_at == now


def test_four_workers_at_one_boundary_renew_every_order_once(
    committed: None, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    now = timezone.now()
    midnight = datetime.combine(now.astimezone(UTC).date(), time_of_day(), UTC)
    period = RecurringPeriod(Every.DAY, midnight.date() - timedelta(days=90))
    life: dict[str, Any] = {"started_at": midnight - timedelta(days=2), "now": midnight - timedelta(hours=1)}
    bought = [make_order(alice, limit=100, period=period, **life) for _ in range(24)]
    start = Barrier(4)

    def work() -> int:
        start.wait()
        try:
            return renewals.renew_due(midnight)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(work) for _ in range(4)]
    assert sum(each.result() for each in done) == len(bought)
    lines = LedgerEntry.objects.filter(reference=f"period-{midnight.date()}")
    assert sorted(lines.values_list("order", flat=True)) == [order.pk for order in bought]
    assert ledger.balances([order.pk for order in bought]) == dict.fromkeys([order.pk for order in bought], 100)


def test_limits_batches_and_changes_of_logins_do_not_deadlock(
    committed: None, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    rounds, now = 12, timezone.now()
    logins = tuple(f"login-{number}" for number in range(6))
    order = make_order(alice, limit=1000, logins=logins)
    start = Barrier(4)

    def use() -> None:
        for number in range(rounds):
            carry(order, now, 600)
            order_services.credit(order, LedgerReason.TOP_UP, 700, reference=f"t{number}", author="shop", now=now)
            metering.post_usage(now)

    def change(name: str) -> None:
        for number in range(rounds):
            user = ProxyUser.objects.get(login=logins[number % len(logins)])
            proxy_users.change_by_owner(user, {"limits": {name: 1 + number % 3}})
            limits.check_due(now)
            proxy_users.release_over(now + timedelta(days=40 * (number % 2)))

    def put() -> None:
        for number in range(rounds):
            wanted = {login: {"max_connections": number + 1} for login in logins}
            order_services.set_logins(order, wanted, now)
            (order_services.suspend if number % 2 else order_services.resume)(order, now)

    def run(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        finally:
            connection.close()

    jobs = (use, lambda: change("dayBytes"), lambda: change("monthBytes"), put)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(run, job) for job in jobs]
    assert [each.exception() for each in done] == [None] * 4


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_samples_are_stored_while_their_order_is_locked(
    committed: None, staff: User, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    """Otherwise they, which lock the login, could deadlock with a change of it, which locks its order first."""
    now = timezone.now()
    order = make_order(alice, limit=1000, logins=("alice",))
    sample = SessionSample("s", "w", "alice", now, bytes_sent=1, bytes_received=2)

    def push() -> None:
        try:
            sessions.record([sample], staff.pk, now)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        order_services.locked(order)
        pool.submit(push).result(30)
    assert ProxySession.objects.get().bytes_received == 2


T = TypeVar("T")


def outcomes(call: Callable[[int], T]) -> list[T | type[Exception]]:
    """The results or kinds of exceptions of concurrent calls, each with its number."""
    start = Barrier(AT_ONCE)

    def one(number: int) -> T | type[Exception]:
        start.wait()
        try:
            return call(number)
        except Exception as error:
            return type(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


@pytest.mark.parametrize("orders", [0, 1])
def test_a_stop_and_its_undo_happen_once(
    committed: None, staff: User, alice: User, make_order: Callable[..., Order], orders: int
) -> None:
    for _ in range(orders):
        make_order(alice, limit=1000)
    for action in (stop_everything.stop, stop_everything.undo) * 4:
        now = timezone.now()
        found = outcomes(lambda _, action=action, now=now: action(User.objects.get(pk=alice.pk), staff, now))  # type: ignore[misc]
        assert found.count(stop_everything.NothingToDo) == AT_ONCE - 1, found
    alice.refresh_from_db()
    assert alice.is_active


def test_an_invitation_is_accepted_once(committed: None, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: "secret")
    now = timezone.now()
    team.invite(alice, "new@example.com", Role.VIEWER, alice, now)
    people = [User.objects.create_user(f"person-{number}") for number in range(AT_ONCE)]
    found = outcomes(lambda number: team.accept("secret", people[number], now))
    assert found.count(None) == AT_ONCE - 1, found
    assert Membership.objects.filter(account=alice).count() == 1
