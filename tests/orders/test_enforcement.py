"""The functions of the cut-off feed: who is published when, under which number, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from orders import enforcement, services
from orders.enforcement import CutOffChange, State
from orders.limits import FOREVER
from orders.models import BlockedLogin, CutOff, ErasedOrder, Order, ProxyUser, RemovedLogin
from tests.orders.helpers import change

DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = START + DAY


@pytest.fixture
def orders(alice: User, bob: User, make_order: Callable[..., Order]) -> list[Order]:
    """Orders of two customers, each with a limit and a login."""
    return [
        make_order(user, limit=100, started_at=START, now=START, logins=(login,), external_id=f"e-{login}")
        for user, login in ((alice, "a"), (bob, "b"))
    ]


def numbers() -> dict[int, int]:
    return dict(CutOff.objects.values_list("order", "number"))


@pytest.mark.parametrize(
    ("limit", "balance", "fields", "state"),
    [
        (100, 1, {}, State.ACTIVE),
        (100, 0, {}, State.EXHAUSTED),
        (100, -1, {}, State.EXHAUSTED),
        (None, 0, {}, State.ACTIVE),
        (None, -5, {}, State.ACTIVE),
        (None, 0, {"stopped_until": LATER + MOMENT}, State.EXHAUSTED),
        (None, 0, {"stopped_until": LATER}, State.ACTIVE),
        (100, 0, {"suspended_at": LATER}, State.SUSPENDED),
        (100, 1, {"suspended_at": LATER + MOMENT}, State.ACTIVE),
        (100, 0, {"suspended_at": START, "expires_at": LATER}, State.EXPIRED),
        (100, 1, {"expires_at": LATER + MOMENT}, State.ACTIVE),
    ],
)
def test_the_state_of_an_order(limit: int | None, balance: int, fields: dict[str, datetime], state: State) -> None:
    order = Order(traffic_limit_bytes=limit, added_bytes=0, started_at=START, **fields)
    assert enforcement.state_of(order, balance, LATER) == state


def test_changes_get_one_number_after_the_other_and_the_last_is_known(orders: list[Order]) -> None:
    last = enforcement.last_number()
    assert enforcement.allocate_numbers(3) == last + 1
    assert enforcement.last_number() == last + 3
    assert enforcement.allocate_numbers(1) == last + 4


def test_before_any_change_the_last_number_is_0(db: None) -> None:
    assert enforcement.last_number() == 0
    assert enforcement.changes_since(0, 10) == []


def test_only_orders_whose_state_changes_are_published_in_their_order(orders: list[Order]) -> None:
    first, second = orders
    enforcement.publish(orders, LATER)
    assert numbers() == {}
    Order.objects.update(suspended_at=START)
    orders = list(Order.objects.order_by("-pk"))
    enforcement.publish(orders, LATER)
    last = enforcement.last_number()
    assert numbers() == {second.pk: last - 1, first.pk: last}
    enforcement.publish(orders, LATER + DAY)
    assert numbers() == {second.pk: last - 1, first.pk: last}
    enforcement.publish(orders[:1], LATER + DAY, force=True)
    assert numbers() == {second.pk: last + 1, first.pk: last}
    assert CutOff.objects.get(order=second).changed_at == LATER + DAY
    assert CutOff.objects.get(order=first).changed_at == LATER


def test_publishing_looks_up_these_orders_only(orders: list[Order]) -> None:
    with CaptureQueriesContext(connection) as statements:
        enforcement.publish(orders[:1], LATER)
        enforcement.publish_erased(orders[:1], LATER)
    sent = [each["sql"] for each in statements]
    [states] = [sql for sql in sent if 'FROM "cut_offs"' in sql]
    assert f'"order_id" IN ({orders[0].pk})' in states
    [erased] = [sql for sql in sent if 'FROM "erased_orders"' in sql]
    assert f'"order_number" IN ({orders[0].pk})' in erased


def test_a_login_that_leaves_a_stopped_order_is_listed_as_active_in_the_next_one_once(orders: list[Order]) -> None:
    first, second = orders
    services.suspend(first, LATER)
    services.set_logins(first, {}, LATER)
    assert BlockedLogin.objects.get().since == LATER
    enforcement.remember_stopped(["a"], LATER + DAY)
    assert BlockedLogin.objects.get().since == LATER
    services.set_logins(second, {"b": {}}, LATER)
    assert second.pk not in numbers()
    services.set_logins(second, {"a": {}, "b": {}}, LATER + DAY)
    assert numbers()[second.pk] > numbers()[first.pk]
    assert CutOff.objects.get(order=second).state == State.ACTIVE
    assert not BlockedLogin.objects.exists()


def test_a_login_that_leaves_an_active_order_is_not_remembered(orders: list[Order]) -> None:
    services.suspend(orders[0], LATER)
    services.resume(orders[0], LATER)
    before = numbers()
    services.set_logins(orders[0], {"new": {}}, LATER)
    assert not BlockedLogin.objects.exists()
    assert numbers() == before


def test_a_login_that_only_leaves_a_stopped_order_publishes_nothing(orders: list[Order]) -> None:
    services.set_logins(orders[0], {"a": {}, "c": {}}, START)
    services.suspend(orders[0], LATER)
    before = numbers()
    services.set_logins(orders[0], {"c": {}}, LATER)
    assert numbers() == before
    assert set(BlockedLogin.objects.values_list("login", flat=True)) == {"a"}


def test_erased_orders_are_published_once_with_their_own_logins(orders: list[Order]) -> None:
    last = enforcement.last_number()
    enforcement.publish_erased(orders[:1], LATER)
    enforcement.publish_erased(orders, LATER + DAY)
    assert list(
        ErasedOrder.objects.order_by("number").values_list("order_number", "logins", "number", "erased_at")
    ) == [
        (orders[0].pk, ["a"], last + 1, LATER),
        (orders[1].pk, ["b"], last + 2, LATER + DAY),
    ]
    assert dict(BlockedLogin.objects.values_list("login", "since")) == {"a": LATER, "b": LATER + DAY}
    enforcement.publish_erased(orders, LATER + DAY)
    assert enforcement.last_number() == last + 2


def test_erased_orders_are_forgotten_after_30_days_and_not_before(db: None) -> None:
    for number, at in enumerate((START, START - MOMENT)):
        ErasedOrder.objects.create(order_number=number, user_number=1, logins=[], number=number, erased_at=at)
        RemovedLogin.objects.create(login=f"l{number}", number=number, removed_at=at)
        BlockedLogin.objects.create(login=f"l{number}", since=at)
    now = START + 30 * DAY
    assert enforcement.forget_erased(now) == 3
    assert list(ErasedOrder.objects.values_list("pk", flat=True)) == [0]
    assert list(RemovedLogin.objects.values_list("pk", flat=True)) == ["l0"]
    assert list(BlockedLogin.objects.values_list("pk", flat=True)) == ["l0"]
    assert [enforcement.forget_erased(now + MOMENT) for _ in range(2)] == [3, 0]


def test_the_feed_has_orders_logins_and_erased_orders_by_their_numbers(orders: list[Order], alice: User) -> None:
    first, second = orders
    services.set_logins(second, {"b": {}, "c": {}}, START)
    start = enforcement.last_number()
    stop("c", start + 1)
    enforcement.allocate_numbers(1)
    services.suspend(first, LATER)
    enforcement.publish_erased([Order(pk=999, user_id=7, external_id="gone")], LATER)
    changes = enforcement.changes_since(start, 10)
    assert changes == [
        CutOffChange(start + 1, "e-b", second.pk, second.user_id, State.EXHAUSTED, LATER, ["c"]),
        CutOffChange(start + 2, "e-a", first.pk, first.user_id, State.SUSPENDED, LATER, ["a"]),
        CutOffChange(start + 3, "gone", 999, 7, State.EXPIRED, LATER, []),
    ]
    assert [change.published_id for change in changes[:2]] == [second.published_id, first.published_id]
    for since in range(3):
        assert enforcement.changes_since(start + since, 1) == [changes[since]]
    assert enforcement.changes_since(start + 3, 10) == []
    enforcement.publish_erased([first], LATER + DAY)
    assert [change.order_id for change in enforcement.changes_since(start, 10)] == [second.pk, 999, first.pk]


def stop(login: str, number: int) -> None:
    ProxyUser.objects.filter(login=login).update(stopped_until=FOREVER, stop_number=number, stop_changed_at=LATER)


def test_a_login_at_its_own_limit_is_with_a_stopped_order_and_not_with_an_active_one(orders: list[Order]) -> None:
    order = orders[0]
    services.set_logins(order, {"a": {}, "z": {}}, START)
    stop("z", enforcement.allocate_numbers(1))
    services.suspend(order, LATER)
    assert [(change.state, change.logins) for change in enforcement.changes_since(0, 10)] == [
        (State.SUSPENDED, ["z"]),
        (State.SUSPENDED, ["a", "z"]),
    ]
    services.resume(order, LATER)
    assert [(change.state, change.logins) for change in enforcement.changes_since(0, 10)] == [
        (State.EXHAUSTED, ["z"]),
        (State.ACTIVE, ["a"]),
    ]
    ProxyUser.objects.update(stopped_until=None)
    assert [change.state for change in enforcement.changes_since(0, 10)] == [State.ACTIVE, State.ACTIVE]


def test_the_feed_costs_the_same_for_any_number_of_changes(
    alice: User, make_order: Callable[..., Order], orders: list[Order]
) -> None:
    costs = []
    for round_ in range(2):
        for number in range(3):
            order = make_order(alice, limit=100, started_at=START, now=START, logins=(f"{round_}-{number}",))
            services.suspend(order, LATER)
            stop(f"{round_}-{number}", enforcement.allocate_numbers(1))
        with CaptureQueriesContext(connection) as statements:
            assert len(enforcement.changes_since(0, 100)) == 6 * (round_ + 1)
        costs.append(len(statements))
    assert costs[0] == costs[1]


def test_an_order_stopped_by_its_daily_limit_is_released_when_the_day_ends(orders: list[Order]) -> None:
    first, second = orders
    Order.objects.update(traffic_limit_bytes=None)
    Order.objects.filter(pk=first.pk).update(stopped_until=LATER)
    Order.objects.filter(pk=second.pk).update(stopped_until=LATER + DAY)
    enforcement.publish(list(Order.objects.order_by("pk")), START)
    assert enforcement.publish_overdue(LATER - MOMENT) == 0
    assert enforcement.publish_overdue(LATER) == 1
    assert dict(Order.objects.values_list("pk", "stopped_until")) == {first.pk: None, second.pk: LATER + DAY}
    assert dict(CutOff.objects.values_list("order", "state")) == {first.pk: State.ACTIVE, second.pk: State.EXHAUSTED}


def test_a_due_suspension_does_not_clear_the_daily_stop(orders: list[Order]) -> None:
    Order.objects.update(suspended_at=LATER, stopped_until=LATER + MOMENT)
    assert [enforcement.publish_overdue(LATER) for _ in range(2)] == [2, 0]
    assert set(Order.objects.values_list("stopped_until", flat=True)) == {LATER + MOMENT}
    assert set(CutOff.objects.values_list("state", flat=True)) == {State.SUSPENDED}


def test_a_change_locks_logins_before_it_takes_a_number(orders: list[Order]) -> None:
    """Otherwise it and a change of a login could deadlock."""
    with CaptureQueriesContext(connection) as statements:
        change(orders[0], LATER, limit_bytes=0)
    reads = [each["sql"] for each in statements if each["sql"].startswith("SELECT")]
    logins = [number for number, sql in enumerate(reads) if 'FROM "orders_proxyuser"' in sql]
    counter = [number for number, sql in enumerate(reads) if 'FROM "cut_off_counter"' in sql]
    assert logins[0] < counter[0]
