"""An order from its purchase to its end: every figure after every step is what a plain model says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from accounts.models import Order, User
from fonproxy.api.errors import Conflict, InvalidInput
from fonproxy.clickhouse.client import Client
from tests.usage.helpers import carry, carry_and_post, figures
from tests.usage.model import Account
from usage import orders, posting
from usage.models import LedgerEntry, Reason

DAY = timedelta(days=1)
START = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - 40 * DAY
GB = 2**30


def compare(order: Order, model: Account, now: datetime) -> None:
    assert figures(order) == {
        "credits": model.credits,
        "carried": +model.carried,
        "balance": model.balance,
        "limit": model.limit,
        "published": model.state(now),
    }


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, limit=10 * GB, started_at=START, expires_at=START + 30 * DAY, now=START)


def test_a_month_in_the_life_of_an_order(order: Order) -> None:
    model = Account(10 * GB, expires_at=START + 30 * DAY)
    compare(order, model, START)

    def use(day: int, size: int) -> datetime:
        at = START + day * DAY
        carry_and_post(order, at, size)
        model.carry(at.date(), size)
        compare(order, model, at)
        return at

    use(1, 4 * GB)
    use(1, 3 * GB)
    at = use(3, 3 * GB - 1)
    assert model.state(at) == "active"
    at = use(4, 1)
    assert model.state(at) == "exhausted"

    orders.credit(order, Reason.TOP_UP, 5 * GB, reference="t1", author="shop", now=at)
    model.add("top_up", 5 * GB)
    compare(order, model, at)
    use(5, 6 * GB)

    orders.credit(order, Reason.REFUND, 2 * GB, reference="r1", author="shop", now=at)
    model.add("refund", 2 * GB)
    compare(order, model, at)

    # Rows of last week arrive late and count on their day.
    late = START + 2 * DAY
    carry_and_post(order, late, GB // 2, now=START + 9 * DAY)
    model.carry(late.date(), GB // 2)
    compare(order, model, START + 9 * DAY)

    orders.suspend(order, at := START + 10 * DAY)
    model.suspended = True
    compare(order, model, at)
    orders.resume(order, at)
    model.suspended = False
    compare(order, model, at)

    orders.renew(order, reference="n1", author="shop", amount=20 * GB, expires_at=START + 35 * DAY, now=at)
    model.renew(20 * GB, START + 35 * DAY)
    compare(order, model, at)
    use(12, 7 * GB)

    orders.close_expired(at := START + 36 * DAY)
    model.pass_time(at)
    compare(order, model, at)
    assert model.balance == 0
    orders.close_expired(at)
    compare(order, model, at)


Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["use", "use late", "top up", "refund", "adjust", "renew", "change limit"]),
            st.integers(0, 3 * GB),
        ),
        st.tuples(st.sampled_from(["suspend", "resume", "wait", "expire", "extend"]), st.just(0)),
    ),
    max_size=14,
)


@hypothesis.given(steps)
@hypothesis.settings(
    max_examples=25, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_any_life_of_an_order_is_what_the_model_says(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, steps: list[Step]
) -> None:
    order = make_order(alice, limit=GB, started_at=START, expires_at=START + 30 * DAY, now=START)
    model = Account(GB, expires_at=START + 30 * DAY)
    now = START
    for number, (step, size) in enumerate(steps):
        now += timedelta(hours=7)
        orders.close_expired(now)
        model.pass_time(now)
        STEPS[step](order, model, now, size, f"ref {number}")
        compare(order, model, now)


def _use(
    order: Order, model: Account, now: datetime, size: int, reference: str, late: timedelta = timedelta(0)
) -> None:
    carry(order, now - late, size)
    posting.post_usage(now)
    model.carry((now - late).date(), size)


def _credit(reason: Reason) -> Callable[..., None]:
    def step(order: Order, model: Account, now: datetime, size: int, reference: str) -> None:
        for _ in range(2):  # the same twice adds it once
            if model.closed:
                with pytest.raises(Conflict):
                    orders.credit(order, reason, size, reference=reference, author="shop", now=now)
            else:
                orders.credit(order, reason, size, reference=reference, author="shop", now=now)
        if not model.closed:
            model.add(reason.value, size)

    return step


def _renew(order: Order, model: Account, now: datetime, size: int, reference: str) -> None:
    for _ in range(2):
        orders.renew(order, reference=reference, author="shop", amount=size, expires_at=now + 30 * DAY, now=now)
    model.renew(size, now + 30 * DAY)


def _change_limit(order: Order, model: Account, now: datetime, size: int, reference: str) -> None:
    order.refresh_from_db()
    bought = order.traffic_limit_bytes
    assert bought is not None
    assert model.limit is not None
    for _ in range(2):
        _change(order, now, limit_bytes=size)
    model.set_limit(model.limit + size - bought)


def _change(order: Order, now: datetime, **changes: Any) -> None:
    order.refresh_from_db()
    same = {
        "name": order.name,
        "limit_bytes": order.traffic_limit_bytes,
        "started_at": order.started_at,
        "expires_at": order.expires_at,
    }
    orders.change(order, author="shop", now=now, **(same | changes))


def _suspend(order: Order, model: Account, now: datetime, size: int, reference: str) -> None:
    orders.suspend(order, now)
    model.suspended = True


def _resume(order: Order, model: Account, now: datetime, size: int, reference: str) -> None:
    orders.resume(order, now)
    model.suspended = False


def _expire(order: Order, model: Account, now: datetime, size: int, reference: str) -> None:
    orders.expire(order, now)
    model.expires_at = min(model.expires_at or now, now)
    model.pass_time(now)


def _extend(order: Order, model: Account, now: datetime, size: int, reference: str) -> None:
    _change(order, now, expires_at=now + 20 * DAY)
    model.extend(now + 20 * DAY)


STEPS: dict[str, Callable[..., None]] = {
    "use": _use,
    "use late": partial(_use, late=3 * DAY),
    "top up": _credit(Reason.TOP_UP),
    "refund": _credit(Reason.REFUND),
    "adjust": _credit(Reason.ADJUSTMENT),
    "renew": _renew,
    "change limit": _change_limit,
    "suspend": _suspend,
    "resume": _resume,
    "wait": lambda *step: None,
    "expire": _expire,
    "extend": _extend,
}


def test_a_reference_that_stands_for_another_amount_or_kind_is_a_conflict(order: Order) -> None:
    orders.credit(order, Reason.TOP_UP, 5, reference="t1", author="shop", now=START)
    for reason, amount in ((Reason.TOP_UP, 6), (Reason.REFUND, 5)):
        with pytest.raises(Conflict, match="was used before, for a top_up of 5 bytes"):
            orders.credit(order, reason, amount, reference="t1", author="shop", now=START)
    assert LedgerEntry.objects.filter(order=order).count() == 2


def test_an_adjustment_cannot_take_more_than_the_limit(order: Order) -> None:
    with pytest.raises(InvalidInput):
        orders.credit(order, Reason.ADJUSTMENT, -10 * GB - 1, reference=None, author="shop", now=START)


def test_what_was_carried_without_a_limit_does_not_count_against_one(
    alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    order = make_order(alice, limit=None, started_at=START, now=START)
    carry_and_post(order, START, 5 * GB)
    assert figures(order)["published"] == "active"
    _change(order, START + DAY, limit_bytes=GB)
    assert (figures(order)["balance"], figures(order)["limit"]) == (GB, GB)
    _change(order, START + DAY, limit_bytes=None)
    assert (figures(order)["balance"], figures(order)["limit"]) == (0, None)


def test_an_order_that_has_ended_has_nothing_left_whatever_its_limit_is_changed_to(order: Order) -> None:
    orders.expire(order, START + DAY)
    for limit in (50 * GB, GB):
        _change(order, START + 2 * DAY, limit_bytes=limit)
        assert figures(order)["balance"] == 0
    _change(order, START + 2 * DAY, expires_at=START + 9 * DAY)
    assert (figures(order)["balance"], figures(order)["limit"]) == (GB, GB)


def test_no_limit_falls_below_zero_or_grows_beyond_what_json_can_hold(order: Order) -> None:
    orders.credit(order, Reason.ADJUSTMENT, -9 * GB, reference=None, author="shop", now=START)
    with pytest.raises(InvalidInput, match="below zero"):
        _change(order, START, limit_bytes=8 * GB)
    for amount in (2**53 - 1, 2**53 - GB):
        with pytest.raises(InvalidInput, match="cannot exceed"):
            orders.credit(order, Reason.TOP_UP, amount, reference=None, author="shop", now=START)
    orders.credit(order, Reason.TOP_UP, 2**53 - 1 - GB, reference=None, author="shop", now=START)
    assert figures(order)["limit"] == 2**53 - 1


def test_no_order_ends_before_it_begins(order: Order) -> None:
    with pytest.raises(InvalidInput, match="before it begins"):
        _change(order, START, expires_at=START - DAY)
