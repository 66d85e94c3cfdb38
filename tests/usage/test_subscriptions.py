"""Orders as subscriptions: which are listed, how much is left and when they run out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from orders.models import LedgerEntry, LedgerReason, Network, Order
from usage import subscriptions
from usage.models import Alert, Firing
from usage.subscriptions import Allowance, run_out

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize("left", [0, -1])
@pytest.mark.parametrize(("carried", "during"), [(0, 7 * DAY), (500, 7 * DAY), (500, timedelta(0))])
def test_an_order_with_nothing_left_runs_out_now_even_without_traffic(
    left: int, carried: int, during: timedelta
) -> None:
    assert run_out(left, carried, during, NOW) == NOW


@pytest.mark.parametrize(
    ("left", "carried", "during", "runs_out"),
    [
        (100, 700, 7 * DAY, NOW + DAY),
        (100, 0, 7 * DAY, None),
        (100, -5, 7 * DAY, None),
        (100, 5, timedelta(0), None),
        (364, 1, DAY, NOW + 364 * DAY),
        (365, 1, DAY, None),
        (2**62, 1, timedelta(minutes=1), None),
    ],
)
def test_exhaustion_is_forecast_from_the_pace_for_less_than_a_year(
    left: int, carried: int, during: timedelta, runs_out: datetime | None
) -> None:
    assert run_out(left, carried, during, NOW) == runs_out


Make = Callable[..., Order]
MOMENT = timedelta(microseconds=1)
START = NOW - 20 * DAY


def use(order: Order, day: date, size: int, *, usage_day: date | None = None) -> None:
    LedgerEntry.objects.create(
        order=order, reason=LedgerReason.USAGE, bytes=-size, requests=1, period_date=day, usage_day=usage_day or day,
        created_at=NOW, updated_at=NOW,
    )  # fmt: skip


def test_remaining_bytes_are_never_negative_and_null_without_a_limit(alice: User, make_order: Make) -> None:
    orders = [make_order(alice, limit=limit, started_at=START, now=START) for limit in (100, 20, None, 0)]
    for order in orders:
        use(order, START.date(), 30)
    assert subscriptions.accounts_of(orders) == {
        orders[0].pk: Allowance(100, 30, 70),
        orders[1].pk: Allowance(20, 30, 0),
        orders[2].pk: Allowance(None, 30, None),
        orders[3].pk: Allowance(None, 30, None),
    }


def names(orders: Iterable[Order]) -> list[str]:
    return [order.name for order in orders]


def test_subscriptions_are_a_customers_orders_with_a_limit_newest_first(
    alice: User, bob: User, make_order: Make
) -> None:
    bought: dict[str, dict[str, Any]] = {
        "old": {"limit": 1},
        "new": {"limit": 1, "network": Network.MOBILE},
        "unmetered": {"limit": None},
        "empty": {"limit": 0},
    }
    for name, fields in bought.items():
        make_order(alice, name=name, **fields)
    make_order(bob, name="other", limit=1)
    Order.objects.update(created_at=NOW)
    assert names(subscriptions.subscriptions_of(alice.pk, NOW)) == ["new", "old"]
    Order.objects.filter(name="old").update(created_at=NOW + MOMENT)
    assert names(subscriptions.subscriptions_of(alice.pk, NOW)) == ["old", "new"]
    assert names(subscriptions.subscriptions_of(alice.pk, NOW, metered=False)) == ["empty", "unmetered"]
    assert names(subscriptions.subscriptions_of(alice.pk, NOW, product_type=Network.MOBILE)) == ["new"]
    assert names(subscriptions.subscriptions_of(alice.pk, NOW, product_type="residential-giga")) == ["old", "new"]
    assert names(subscriptions.subscriptions_of(alice.pk, NOW, product_type="isp")) == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "active"),
        ({"expires_at": NOW + MOMENT, "suspended_at": NOW + MOMENT}, "active"),
        ({"suspended_at": NOW}, "suspended"),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": NOW, "suspended_at": NOW}, "expired"),
    ],
)
def test_a_subscription_has_one_status(alice: User, make_order: Make, fields: dict[str, Any], status: str) -> None:
    order = make_order(alice, limit=1, started_at=START, now=START)
    Order.objects.update(**fields)
    found = {
        each: list(subscriptions.subscriptions_of(alice.pk, NOW, status=each))
        for each in ("active", "suspended", "expired")
    }
    assert found == {"active": [], "suspended": [], "expired": []} | {status: [order]}


def test_orders_that_expire_or_run_out_within_three_days_end_soon(alice: User, bob: User, make_order: Make) -> None:
    ends = {
        "expired": NOW,
        "now": NOW + MOMENT,
        "in time": NOW + 3 * DAY,
        "too late": NOW + 3 * DAY + MOMENT,
        "endless": None,
    }
    for name, expires_at in ends.items():
        make_order(alice, name=name, limit=1, started_at=START, now=START, expires_at=expires_at)
    for name, runs_out_at in {
        "runs out": NOW + 3 * DAY,
        "ran out": NOW,
        "runs out late": NOW + 3 * DAY + MOMENT,
        "lasts": None,
    }.items():
        order = make_order(bob, name=name, limit=1, started_at=START, now=START)
        Firing.objects.create(
            alert=Alert.objects.filter(order=order)[0], arming=1, fired_at=NOW, threshold=80, runs_out_at=runs_out_at
        )
    assert sorted(names(subscriptions.ending_soon(NOW))) == ["in time", "now", "runs out"]


def foreseen(order: Order, left: int | None, now: datetime = NOW) -> datetime | None:
    account = Allowance(100, 0, left)
    return subscriptions.projected_exhaustions([order], {order.pk: account}, now)[order.pk]


def test_the_pace_is_the_average_of_today_and_the_six_days_before(alice: User, make_order: Make) -> None:
    now = NOW + DAY / 2
    order, other = (make_order(alice, limit=100, started_at=START, now=START) for _ in range(2))
    use(order, (NOW - 7 * DAY).date(), 1000)
    use(other, NOW.date(), 1000)
    assert foreseen(order, 50, now) is None
    use(order, (NOW - 6 * DAY).date(), 10)
    use(order, NOW.date(), 3)
    assert foreseen(order, 26, now) == now + 13 * DAY
    assert foreseen(order, 0, now) == now
    assert foreseen(order, None, now) is None


def test_an_order_that_ends_before_it_runs_out_has_no_exhaustion_forecast(alice: User, make_order: Make) -> None:
    order = make_order(alice, limit=100, started_at=START, now=START, expires_at=NOW + DAY)
    use(order, (NOW - DAY).date(), 6)
    assert foreseen(order, 1) is None
    order.expires_at = NOW + DAY + MOMENT
    assert foreseen(order, 1) == NOW + DAY


def test_the_pace_of_a_young_order_is_averaged_over_its_age_of_at_least_a_minute(alice: User, make_order: Make) -> None:
    order = make_order(alice, limit=100, started_at=NOW - DAY, now=NOW - DAY)
    use(order, (NOW - 2 * DAY).date(), 1000)
    use(order, (NOW - DAY).date(), 4)
    assert foreseen(order, 8) == NOW + 2 * DAY
    order.started_at = NOW
    use(order, NOW.date(), 60)
    assert foreseen(order, 60) == NOW + timedelta(minutes=1)


def test_all_forecasts_take_one_query(alice: User, make_order: Make) -> None:
    orders = [make_order(alice, limit=100, started_at=START, now=START) for _ in range(3)]
    use(orders[1], NOW.date(), 12)
    accounts = {order.pk: Allowance(100, 0, 24) for order in orders}
    with CaptureQueriesContext(connection) as statements:
        found = subscriptions.projected_exhaustions(orders, accounts, NOW)
    assert found == {orders[0].pk: None, orders[1].pk: NOW + 12 * DAY, orders[2].pk: None}
    assert len(statements) == 1
    assert "usage_day" in statements[0]["sql"].partition(" WHERE ")[2]
