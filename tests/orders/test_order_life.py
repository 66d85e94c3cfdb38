"""An order from its purchase to its end: every figure after every step equals that of a plain model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import hypothesis
import pytest
from hypothesis import strategies as st

from accounts.models import User
from fonproxy.api.errors import Conflict, InvalidInput
from fonproxy.clickhouse.client import Client
from orders import services as order_services
from orders.models import LedgerEntry, LedgerReason, Order
from tests.orders.helpers import change
from tests.thoroughness import drawn, examples
from tests.usage.helpers import carry, carry_and_post, figures
from tests.usage.model import OrderModel
from usage import metering

DAY = timedelta(days=1)
START = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - 40 * DAY
GB = 2**30


def compare(order: Order, model: OrderModel, now: datetime) -> None:
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
    model = OrderModel(10 * GB, expires_at=START + 30 * DAY)
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

    order_services.credit(order, LedgerReason.TOP_UP, 5 * GB, reference="t1", author="shop", now=at)
    model.add("top_up", 5 * GB)
    compare(order, model, at)
    use(5, 6 * GB)

    order_services.credit(order, LedgerReason.REFUND, 2 * GB, reference="r1", author="shop", now=at)
    model.add("refund", 2 * GB)
    compare(order, model, at)

    # Rows of last week arrive late and count on their own day.
    late = START + 2 * DAY
    carry_and_post(order, late, GB // 2, now=START + 9 * DAY)
    model.carry(late.date(), GB // 2)
    compare(order, model, START + 9 * DAY)

    order_services.suspend(order, at := START + 10 * DAY)
    model.suspended = True
    compare(order, model, at)
    order_services.resume(order, at)
    model.suspended = False
    compare(order, model, at)

    order_services.renew(order, reference="n1", author="shop", amount=20 * GB, expires_at=START + 35 * DAY, now=at)
    model.renew(20 * GB, START + 35 * DAY)
    compare(order, model, at)
    use(12, 7 * GB)

    order_services.close_expired(at := START + 36 * DAY)
    model.pass_time(at)
    compare(order, model, at)
    assert model.balance == 0
    order_services.close_expired(at)
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


ENDED_AND_EXTENDED_TWICE: list[Step] = [("expire", 0), ("extend", 0)] * 2
USED_UP_AFTER_A_RENEWAL: list[Step] = [("use", GB // 2), ("renew", GB), ("use", GB), ("expire", 0), ("extend", 0)]
RENEWED_WITH_NOTHING: list[Step] = [("use", GB // 2), ("renew", 0), ("top up", GB)]
ADJUSTED_TO_NOTHING: list[Step] = [("adjust", -GB), ("change limit", GB), ("top up", GB)]
RESUMED_AFTER_ITS_END: list[Step] = [("suspend", 0), ("expire", 0), ("resume", 0), ("extend", 0)]
USED_LATE_BEFORE_THE_PERIOD: list[Step] = [("use", GB), ("renew", GB), ("use late", GB), ("expire", 0), ("extend", 0)]


@drawn
@hypothesis.given(steps)
@hypothesis.example(ENDED_AND_EXTENDED_TWICE)
@hypothesis.example(USED_UP_AFTER_A_RENEWAL)
@hypothesis.example(RENEWED_WITH_NOTHING)
@hypothesis.example(ADJUSTED_TO_NOTHING)
@hypothesis.example(RESUMED_AFTER_ITS_END)
@hypothesis.example(USED_LATE_BEFORE_THE_PERIOD)
@hypothesis.settings(
    max_examples=examples(25),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
def test_any_life_of_an_order_follows_the_model(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, steps: list[Step]
) -> None:
    order = make_order(alice, limit=GB, started_at=START, expires_at=START + 30 * DAY, now=START)
    model = OrderModel(GB, expires_at=START + 30 * DAY)
    now = START
    for number, (step, size) in enumerate(steps):
        now += timedelta(hours=7)
        order_services.close_expired(now)
        model.pass_time(now)
        STEPS[step](order, model, now, size, f"ref {number}")
        compare(order, model, now)


def _use(
    order: Order, model: OrderModel, now: datetime, size: int, reference: str, late: timedelta = timedelta(0)
) -> None:
    carry(order, now - late, size)
    metering.post_usage(now)
    model.carry((now - late).date(), size)


def _credit(reason: LedgerReason) -> Callable[..., None]:
    def step(order: Order, model: OrderModel, now: datetime, size: int, reference: str) -> None:
        for _ in range(2):  # the same call twice adds it once
            if model.closed:
                with pytest.raises(Conflict):
                    order_services.credit(order, reason, size, reference=reference, author="shop", now=now)
            else:
                order_services.credit(order, reason, size, reference=reference, author="shop", now=now)
        if not model.closed:
            model.add(reason.value, size)

    return step


def _renew(order: Order, model: OrderModel, now: datetime, size: int, reference: str) -> None:
    for _ in range(2):
        order_services.renew(order, reference=reference, author="shop", amount=size, expires_at=now + 30 * DAY, now=now)
    model.renew(size, now + 30 * DAY)


def _change_limit(order: Order, model: OrderModel, now: datetime, size: int, reference: str) -> None:
    order.refresh_from_db()
    bought = order.traffic_limit_bytes
    assert bought is not None
    assert model.limit is not None
    for _ in range(2):
        change(order, now, limit_bytes=size)
    model.set_limit(model.limit + size - bought)


def _suspend(order: Order, model: OrderModel, now: datetime, size: int, reference: str) -> None:
    order_services.suspend(order, now)
    model.suspended = True


def _resume(order: Order, model: OrderModel, now: datetime, size: int, reference: str) -> None:
    if model.closed:
        with pytest.raises(Conflict):
            order_services.resume(order, now)
    else:
        order_services.resume(order, now)
        model.suspended = False


def _expire(order: Order, model: OrderModel, now: datetime, size: int, reference: str) -> None:
    order_services.expire(order, now)
    model.expires_at = min(model.expires_at or now, now)
    model.pass_time(now)


def _extend(order: Order, model: OrderModel, now: datetime, size: int, reference: str) -> None:
    change(order, now, expires_at=now + 20 * DAY)
    model.extend(now + 20 * DAY)


STEPS: dict[str, Callable[..., None]] = {
    "use": _use,
    "use late": partial(_use, late=3 * DAY),
    "top up": _credit(LedgerReason.TOP_UP),
    "refund": _credit(LedgerReason.REFUND),
    "adjust": _credit(LedgerReason.ADJUSTMENT),
    "renew": _renew,
    "change limit": _change_limit,
    "suspend": _suspend,
    "resume": _resume,
    "wait": lambda *step: None,
    "expire": _expire,
    "extend": _extend,
}


def test_a_reference_of_another_amount_or_kind_is_a_conflict(order: Order) -> None:
    order_services.credit(order, LedgerReason.TOP_UP, 5, reference="t1", author="shop", now=START)
    for reason, amount in ((LedgerReason.TOP_UP, 6), (LedgerReason.REFUND, 5)):
        with pytest.raises(Conflict, match="was used before, for a top_up of 5 bytes"):
            order_services.credit(order, reason, amount, reference="t1", author="shop", now=START)
    assert LedgerEntry.objects.filter(order=order).count() == 2


def test_an_adjustment_cannot_take_more_than_the_limit(order: Order) -> None:
    with pytest.raises(InvalidInput):
        order_services.credit(order, LedgerReason.ADJUSTMENT, -10 * GB - 1, reference=None, author="shop", now=START)


def test_traffic_without_a_limit_does_not_count_against_one(
    alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    order = make_order(alice, limit=None, started_at=START, now=START)
    carry_and_post(order, START, 5 * GB)
    assert figures(order)["published"] == "active"
    change(order, START + DAY, limit_bytes=GB)
    assert (figures(order)["balance"], figures(order)["limit"]) == (GB, GB)
    change(order, START + DAY, limit_bytes=None)
    assert (figures(order)["balance"], figures(order)["limit"]) == (0, None)


def test_changing_the_limit_of_an_ended_order_leaves_no_bytes(order: Order) -> None:
    order_services.expire(order, START + DAY)
    for limit in (50 * GB, GB):
        change(order, START + 2 * DAY, limit_bytes=limit)
        assert figures(order)["balance"] == 0
    change(order, START + 2 * DAY, expires_at=START + 9 * DAY)
    assert (figures(order)["balance"], figures(order)["limit"]) == (GB, GB)


def _expire_and_extend(order: Order, at: datetime) -> None:
    order_services.expire(order, at)
    change(order, at, expires_at=at + 20 * DAY)


def test_an_order_that_is_extended_twice_has_its_limit_once(order: Order) -> None:
    _expire_and_extend(order, START + DAY)
    _expire_and_extend(order, START + 2 * DAY)
    assert (figures(order)["balance"], figures(order)["limit"]) == (10 * GB, 10 * GB)


def test_extending_an_order_restores_nothing_from_an_earlier_period(order: Order) -> None:
    carry_and_post(order, START, 4 * GB)
    order_services.renew(order, reference="n1", author="shop", now=START + DAY)
    carry_and_post(order, START + DAY, 10 * GB)
    _expire_and_extend(order, START + 2 * DAY)
    assert (figures(order)["balance"], figures(order)["published"]) == (0, "exhausted")


def test_an_order_can_be_renewed_with_zero_bytes(order: Order) -> None:
    purchase, _ = order_services.renew(order, reference="n1", author="shop", amount=0, now=START + DAY)
    assert purchase.bytes == 0
    assert (figures(order)["balance"], figures(order)["limit"]) == (0, 0)
    assert figures(order)["published"] == "exhausted"


def test_an_adjustment_can_reduce_the_limit_to_zero(order: Order) -> None:
    order_services.credit(order, LedgerReason.ADJUSTMENT, -10 * GB, reference=None, author="shop", now=START)
    assert (figures(order)["balance"], figures(order)["limit"]) == (0, 0)
    assert figures(order)["published"] == "exhausted"


def test_traffic_of_an_unknown_order_does_not_stop_posting(order: Order) -> None:
    carry(Order(pk=order.pk + 1000, user_id=order.user_id), START, GB)
    carry(order, START, 3 * GB)
    assert metering.post_usage(START) == 2
    assert figures(order)["carried"] == {START.date(): 3 * GB}
    assert LedgerEntry.objects.filter(reason=LedgerReason.USAGE).count() == 1
    assert metering.post_usage(START) == 0


def test_a_usage_line_whose_traffic_no_longer_exists_becomes_zero(order: Order, clean_engine: Client) -> None:
    carry_and_post(order, START, 3 * GB)
    clean_engine.command("TRUNCATE TABLE order_traffic", tag="tests")
    [line] = metering.post_days([(order.pk, START.date())], START + DAY)
    assert (line.bytes, line.requests) == (0, 0)
    assert (figures(order)["carried"], figures(order)["balance"]) == ({}, 10 * GB)


def test_no_limit_falls_below_zero_or_exceeds_the_integers_of_json(order: Order) -> None:
    order_services.credit(order, LedgerReason.ADJUSTMENT, -9 * GB, reference=None, author="shop", now=START)
    with pytest.raises(InvalidInput, match="below zero"):
        change(order, START, limit_bytes=8 * GB)
    for amount in (2**53 - 1, 2**53 - GB):
        with pytest.raises(InvalidInput, match="cannot exceed"):
            order_services.credit(order, LedgerReason.TOP_UP, amount, reference=None, author="shop", now=START)
    order_services.credit(order, LedgerReason.TOP_UP, 2**53 - 1 - GB, reference=None, author="shop", now=START)
    assert figures(order)["limit"] == 2**53 - 1


def test_no_order_ends_before_it_begins(order: Order) -> None:
    with pytest.raises(InvalidInput, match="before it begins"):
        change(order, START, expires_at=START - DAY)


def test_suspending_a_suspended_order_keeps_the_time_of_its_suspension(order: Order) -> None:
    order_services.suspend(order, START + DAY)
    assert order_services.suspend(order, START + 2 * DAY).suspended_at == START + DAY
    order.refresh_from_db()
    assert order.suspended_at == START + DAY


def test_suspending_an_order_brings_a_planned_suspension_forward(order: Order) -> None:
    Order.objects.filter(pk=order.pk).update(suspended_at=START + 9 * DAY)
    assert order_services.suspend(order, START + DAY).suspended_at == START + DAY
    order.refresh_from_db()
    assert order.suspended_at == START + DAY
    assert figures(order)["published"] == "suspended"


def test_expiring_an_expired_order_keeps_the_time_of_its_end(order: Order) -> None:
    order_services.expire(order, START + DAY)
    assert order_services.expire(order, START + 2 * DAY).expires_at == START + DAY
    order.refresh_from_db()
    assert order.expires_at == START + DAY
    assert order.period_closed_at == START + DAY
