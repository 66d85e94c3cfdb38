"""Alerts over the life of an order: each firing once, armed again when the order falls below."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Order, User
from fonproxy.clickhouse.client import Client, get_client
from tests.usage.alerts.conftest import GB, START
from tests.usage.helpers import carry, carry_and_post
from usage import orders, subscriptions
from usage.alerts import evaluation, services
from usage.models import Alert, Delivery, Firing, Reason

DAY = timedelta(days=1)


def state(alert: Alert) -> tuple[bool, int]:
    alert.refresh_from_db()
    return alert.is_armed, alert.firings.count()


def test_it_fires_once_when_the_threshold_is_reached_exactly(order: Order, alert: Alert) -> None:
    carry(order, START, 8 * GB - 1)
    assert evaluation.evaluate(START) == 0
    carry(order, START, 1)
    assert [evaluation.evaluate(START) for _ in range(3)] == [1, 0, 0]
    carry(order, START, 5 * GB)
    assert evaluation.evaluate(START) == 0
    [firing] = alert.firings.all()
    assert (firing.used_bytes, firing.limit_bytes, firing.percent) == (8 * GB, 10 * GB, 80.0)
    assert [delivery.target for delivery in firing.deliveries.all()] == ["alice@example.com"]


def test_a_top_up_arms_it_again(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 9 * GB)
    evaluation.evaluate(START)
    orders.credit(order, Reason.TOP_UP, GB, reference="a", author="shop", now=START)
    evaluation.evaluate(START)
    assert state(alert) == (False, 1)  # 9 of 11 is still above
    orders.credit(order, Reason.TOP_UP, GB, reference="b", author="shop", now=START)
    evaluation.evaluate(START)
    assert state(alert) == (True, 1)  # 9 of 12 is not
    carry_and_post(order, START, GB)
    evaluation.evaluate(START)
    assert state(alert) == (False, 2)


def test_a_new_period_arms_it_again_even_if_nobody_looked_in_between(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 9 * GB)
    evaluation.evaluate(START)
    orders.renew(order, reference="r", author="shop", now=START + DAY)
    carry_and_post(order, START + DAY, 8 * GB)
    assert evaluation.evaluate(START + DAY) == 1
    assert alert.firings.latest("fired_at").used_bytes == 8 * GB


def test_a_patch_moves_the_threshold_across(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 17 * GB // 2)
    evaluation.evaluate(START)
    services.change(alert, {"threshold_percent": 85}, START)
    evaluation.evaluate(START)
    assert state(alert) == (False, 1)  # still reached: nothing new to tell
    services.change(alert, {"threshold_percent": 90}, START)
    assert state(alert) == (True, 1)
    services.change(alert, {"threshold_percent": 50}, START)
    assert evaluation.evaluate(START) == 1


@pytest.mark.parametrize("fields", [{"limit": None}, {"limit": 0}, {"expires_at": START + DAY}])
def test_orders_without_a_limit_or_an_end_ahead_are_left_alone(
    fields: dict[str, Any], alice: User, make_order: Callable[..., Order], order: Order
) -> None:
    left_alone = make_order(alice, **{"limit": GB, "started_at": START, "now": START, **fields})
    Alert.objects.create(order=left_alone, threshold_percent=1, method="email", target="t", created_at=START)
    carry(left_alone, START, 5 * GB)
    assert evaluation.evaluate(START + 2 * DAY) == 0


def test_new_metered_orders_have_alerts_at_80_and_100_unless_that_is_switched_off(
    alice: User, make_order: Callable[..., Order], settings: Any
) -> None:
    assert [alert.threshold_percent for alert in make_order(alice, limit=GB).alerts.order_by("pk")] == [80, 100]
    assert not make_order(alice, limit=None).alerts.exists()
    settings.DEFAULT_ALERTS = False
    assert not make_order(alice, limit=GB).alerts.exists()


def test_one_alert_that_cannot_be_dealt_with_does_not_keep_the_others(
    order: Order, alert: Alert, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = services.create(order, 50, Alert.Method.EMAIL, now=START)
    carry(order, START, 9 * GB)
    fire = evaluation._fire

    def failing(row: Any, *rest: Any) -> int:
        if row.alert_id == alert.pk:
            raise RuntimeError("out of luck")
        return fire(row, *rest)

    monkeypatch.setattr(evaluation, "_fire", failing)
    assert evaluation.evaluate(START) == 1
    assert state(other) == (False, 1)
    monkeypatch.undo()
    assert evaluation.evaluate(START) == 1


def test_an_evaluator_that_read_before_another_fired_does_not_fire_again(order: Order, alert: Alert) -> None:
    carry(order, START, 9 * GB)
    late = list(evaluation._steps(Alert.objects.all(), START))
    assert evaluation.evaluate(START) == 1
    [(row, used, _)] = late
    assert evaluation._fire(row, used, START) == 0
    assert Firing.objects.count() == Delivery.objects.count() == 1


def test_a_top_up_between_look_and_firing_keeps_it_from_firing(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 9 * GB)
    [(row, used, _)] = evaluation._steps(Alert.objects.all(), START)
    orders.credit(order, Reason.TOP_UP, 90 * GB, reference="t", author="shop", now=START)
    assert evaluation._fire(row, used, START) == 0
    assert state(alert) == (True, 0)


def test_a_young_order_s_pace_is_that_of_its_life(
    alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    late = START.replace(hour=23, minute=50)
    young = make_order(alice, limit=100, started_at=late, now=late)
    carry_and_post(young, late + timedelta(minutes=5), 50)
    now = late + timedelta(minutes=5)
    at = subscriptions.projected_exhaustions([young], subscriptions.accounts_of([young]), now)[young.pk]
    assert at == now + timedelta(minutes=5)


def test_all_alerts_cost_one_query_to_the_engine(
    order: Order, alice: User, make_order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch, clean_engine: Client
) -> None:
    for _ in range(20):
        services.create(make_order(alice, limit=GB), 50, Alert.Method.EMAIL, now=START)
    asked: list[str] = []
    fetch = get_client().fetch

    def counted(sql: str, *args: Any, **more: Any) -> Any:
        asked.append(sql)
        return fetch(sql, *args, **more)

    monkeypatch.setattr(get_client(), "fetch", counted)
    evaluation.evaluate(START)
    assert len(asked) == 1


def test_the_projection_goes_with_the_firing(order: Order, alert: Alert) -> None:
    for day in range(8):
        carry_and_post(order, START + day * DAY, GB)
    at = START + 7 * DAY
    evaluation.evaluate(at)
    [firing] = alert.firings.all()
    # Seven gigabytes in the last seven days, two left.
    assert firing.runs_out_at is not None
    assert timedelta(days=1.5) < firing.runs_out_at - at < timedelta(days=2.5)
