"""Alerts over the life of an order: each fires once, and is armed again when the order falls below its threshold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import User
from fonproxy.clickhouse.client import Client, get_client
from orders import services as order_services
from orders.models import LedgerReason, Order
from tests.usage.alerts.conftest import GB, START
from tests.usage.helpers import carry, carry_and_post
from usage import subscriptions
from usage.alerts import evaluation, mail, services
from usage.alerts.thresholds import AlertTransition
from usage.models import Alert, Delivery, Firing, Unsubscription

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


def test_an_unsubscribed_address_is_no_recipient_of_a_firing(order: Order, alert: Alert) -> None:
    Alert.objects.update(recipients=["Bob@example.com", "carol@example.com"])
    for address in ("alice@example.com", "bob@example.com"):
        Unsubscription.objects.create(order=order, address=address)
    carry(order, START, 8 * GB)
    assert evaluation.evaluate(START) == 1
    assert [delivery.target for delivery in Delivery.objects.all()] == ["carol@example.com"]


def test_a_top_up_rearms_an_alert(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 9 * GB)
    evaluation.evaluate(START)
    order_services.credit(order, LedgerReason.TOP_UP, GB, reference="a", author="shop", now=START)
    evaluation.evaluate(START)
    assert state(alert) == (False, 1)  # 9 of 11 is still above
    order_services.credit(order, LedgerReason.TOP_UP, GB, reference="b", author="shop", now=START)
    evaluation.evaluate(START)
    assert state(alert) == (True, 1)  # 9 of 12 is not
    carry_and_post(order, START, GB)
    evaluation.evaluate(START)
    assert state(alert) == (False, 2)


def test_a_new_period_rearms_an_alert_even_without_an_evaluation_in_between(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 9 * GB)
    evaluation.evaluate(START)
    order_services.renew(order, reference="r", author="shop", now=START + DAY)
    carry_and_post(order, START + DAY, 8 * GB)
    assert evaluation.evaluate(START + DAY) == 1
    assert alert.firings.latest("fired_at").used_bytes == 8 * GB


def test_a_patch_can_move_the_threshold_past_the_usage(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 17 * GB // 2)
    evaluation.evaluate(START)
    services.change(alert, {"threshold": 85}, START)
    evaluation.evaluate(START)
    assert state(alert) == (False, 1)  # still reached: nothing new to report
    services.change(alert, {"threshold": 90}, START)
    assert state(alert) == (True, 1)
    services.change(alert, {"threshold": 50}, START)
    assert evaluation.evaluate(START) == 1


@pytest.mark.parametrize("fields", [{"limit": None}, {"limit": 0}, {"expires_at": START + DAY}])
def test_orders_without_a_limit_or_an_end_ahead_are_left_alone(
    fields: dict[str, Any], alice: User, make_order: Callable[..., Order], order: Order
) -> None:
    left_alone = make_order(alice, **{"limit": GB, "started_at": START, "now": START, **fields})
    Alert.objects.create(order=left_alone, threshold=1, method="email", target="t", created_at=START)
    carry(left_alone, START, 5 * GB)
    assert evaluation.evaluate(START + 2 * DAY) == 0


def test_new_metered_orders_have_alerts_at_80_and_100_unless_that_is_switched_off(
    alice: User, make_order: Callable[..., Order], settings: Any
) -> None:
    assert [alert.threshold for alert in make_order(alice, limit=GB).alerts.order_by("pk")] == [80, 100]
    assert not make_order(alice, limit=None).alerts.exists()
    settings.DEFAULT_ALERTS = False
    assert not make_order(alice, limit=GB).alerts.exists()


def test_an_alert_that_cannot_be_evaluated_does_not_block_the_others(
    order: Order, alert: Alert, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
    assert f"alert {alert.pk} could not be evaluated" in caplog.text
    assert state(other) == (False, 1)
    monkeypatch.undo()
    assert evaluation.evaluate(START) == 1


def test_thresholds_reached_at_once_share_one_mail(order: Order, alert: Alert, mailoutbox: Any) -> None:
    also = services.create(order, 90, Alert.Method.EMAIL, now=START, recipients=["boss@example.com"])
    full = services.create(order, 100, Alert.Method.EMAIL, now=START)
    hook = services.create(order, 50, Alert.Method.WEBHOOK, now=START, webhook_url="https://example.com/hook")
    carry_and_post(order, START, 11 * GB)
    assert evaluation.evaluate(START) == 4
    assert [state(each) for each in (alert, also, full, hook)] == [(False, 1)] * 4
    targets = {each.threshold: [d.target for d in each.firings.get().deliveries.all()] for each in Alert.objects.all()}
    assert targets == {
        100: ["alice@example.com"],
        90: ["boss@example.com"],
        80: [],
        50: ["https://example.com/hook"],
    }
    mail.send(full.firings.get(), "alice@example.com")
    [message] = mailoutbox
    for text in (message.body, message.alternatives[0][0]):
        assert "You receive this alert at 80 %, 90 % and 100 % of the traffic limit" in text
        assert "11 GB" in text


def test_thresholds_reached_one_after_another_send_separate_mails(order: Order, alert: Alert) -> None:
    full = services.create(order, 100, Alert.Method.EMAIL, now=START)
    for size in (8 * GB, 2 * GB):
        carry(order, START, size)
        assert evaluation.evaluate(START) == 1
    assert [each.firings.get().deliveries.count() for each in (alert, full)] == [1, 1]
    assert full.firings.get().also_reached == []


def test_an_evaluator_that_read_before_another_fired_does_not_fire_again(order: Order, alert: Alert) -> None:
    carry(order, START, 9 * GB)
    late = list(evaluation._steps(Alert.objects.all(), START))
    assert evaluation.evaluate(START) == 1
    [(row, used, _)] = late
    assert evaluation._fire(row, used, START, set(), []) == 0
    assert Firing.objects.count() == Delivery.objects.count() == 1


def test_an_alert_with_the_threshold_of_one_that_fires_stays_as_it_is(
    order: Order, alert: Alert, alice: User, make_order: Callable[..., Order]
) -> None:
    other = services.create(
        make_order(alice, limit=10 * GB, started_at=START, now=START), alert.threshold, Alert.Method.EMAIL, now=START
    )
    carry(order, START, 9 * GB)
    assert evaluation.evaluate(START) == 1
    assert (state(alert), state(other)) == ((False, 1), (True, 0))


def test_an_evaluator_that_read_before_another_fired_and_rearmed_does_not_fire(order: Order, alert: Alert) -> None:
    carry(order, START, 9 * GB)
    [(row, figures, _)] = evaluation._steps(Alert.objects.filter(pk=alert.pk), START)
    assert evaluation.evaluate(START) == 1
    Alert.objects.update(is_armed=True)
    assert evaluation._fire(row, figures, START, set(), []) == 0
    assert state(alert) == (True, 1)


def test_an_alert_that_was_armed_since_it_was_read_is_left_to_the_next_evaluator(order: Order, alert: Alert) -> None:
    carry(order, START, 9 * GB)
    Alert.objects.update(is_armed=False, fired_period=0)
    [(row, figures, _)] = evaluation._steps(Alert.objects.filter(pk=alert.pk), START)
    Alert.objects.update(is_armed=True)
    assert evaluation._fire(row, figures, START, set(), []) == 0
    assert evaluation.evaluate(START) == 1


def test_a_late_evaluator_does_not_rearm_an_alert_that_has_fired_again(order: Order, alert: Alert) -> None:
    carry(order, START, 9 * GB)
    assert evaluation.evaluate(START) == 1
    order_services.credit(order, LedgerReason.TOP_UP, 2 * GB, reference="t", author="shop", now=START)
    [(late, _, step)] = evaluation._steps(Alert.objects.all(), START)
    assert step is AlertTransition.REARM
    evaluation.evaluate(START)
    assert state(alert) == (True, 1)
    carry(order, START, GB)
    assert evaluation.evaluate(START) == 1
    evaluation._rearm(late)
    assert state(alert) == (False, 2)
    assert evaluation.evaluate(START) == 0


def test_a_threshold_raised_after_the_read_prevents_the_firing(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 17 * GB // 2)
    [(row, used, _)] = evaluation._steps(Alert.objects.all(), START)
    services.change(alert, {"threshold": 90}, START)
    assert evaluation._fire(row, used, START, set(), []) == 0
    assert state(alert) == (True, 0)
    carry(order, START, GB // 2)
    assert evaluation.evaluate(START) == 1
    assert alert.firings.get().threshold == 90


def test_a_top_up_after_the_read_prevents_the_firing(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 9 * GB)
    [(row, used, _)] = evaluation._steps(Alert.objects.all(), START)
    order_services.credit(order, LedgerReason.TOP_UP, 90 * GB, reference="t", author="shop", now=START)
    assert evaluation._fire(row, used, START, set(), []) == 0
    assert state(alert) == (True, 0)


def test_a_young_order_s_pace_is_averaged_over_its_age(
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


def test_a_firing_records_the_forecast_from_the_pace_of_the_last_seven_days(order: Order, alert: Alert) -> None:
    for day, quarters in enumerate((8, 2, 2, 3, 4, 5, 6, 7)):
        carry_and_post(order, START + day * DAY, quarters * GB // 4)
    at = START + 7 * DAY
    assert evaluation.evaluate(at) == 1
    [firing] = alert.firings.all()
    # The pace is that of today and the six days before: 29 quarters of a gigabyte. Three quarters are left.
    pace_began = (START + DAY).replace(hour=0)
    assert firing.runs_out_at == at + (at - pace_began) * 3 / 29


def test_an_order_beyond_its_limit_is_forecast_to_run_out_now(order: Order, alert: Alert) -> None:
    carry_and_post(order, START, 11 * GB)
    at = START + 8 * DAY  # the last seven days give no pace
    assert evaluation.evaluate(at) == 1
    assert alert.firings.get().runs_out_at == at
