"""Alerts about bytes left, an order's end and failed requests, over the life of an order."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import User
from orders import services as order_services
from orders.models import LedgerReason, Order
from tests.usage.alerts.conftest import GB, START
from tests.usage.alerts.receiver import WebhookReceiver, expected_signature
from tests.usage.helpers import carry, carry_and_post
from usage.alerts import deliveries, evaluation, mail, services
from usage.models import Alert, AlertKind, Delivery, Firing

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def make(order: Order, kind: AlertKind, threshold: int, **more: Any) -> Alert:
    return services.create(order, threshold, more.pop("method", "email"), kind=kind, now=START, **more)


def state(alert: Alert) -> tuple[bool, int]:
    alert.refresh_from_db()
    return alert.is_armed, alert.firings.count()


def test_bytes_left_fire_once_and_again_after_a_top_up(order: Order, mailoutbox: Any) -> None:
    alert = make(order, AlertKind.BYTES_LEFT, GB)
    carry_and_post(order, START, 9 * GB - 1)
    assert evaluation.evaluate(START) == 0
    carry_and_post(order, START, 1)
    assert [evaluation.evaluate(START) for _ in range(3)] == [1, 0, 0]
    order_services.credit(order, LedgerReason.TOP_UP, GB, reference="a", author="shop", now=START)
    evaluation.evaluate(START)
    assert state(alert) == (True, 1)
    carry_and_post(order, START, GB)
    assert evaluation.evaluate(START) == 1
    mail.send(alert.firings.latest("used_bytes"), "alice@example.com")
    [message] = mailoutbox
    assert message.subject == "Residential 10 GB has 1 GB left of 11 GB"
    assert "You receive this alert when 1 GB or less are left." in message.body


def test_an_overrun_fires_above_100_percent(order: Order) -> None:
    alert = make(order, AlertKind.USAGE_PERCENT, 120)
    carry(order, START, 12 * GB - 1)
    assert evaluation.evaluate(START) == 0
    carry(order, START, 1)
    assert evaluation.evaluate(START) == 1
    assert alert.firings.get().percent == 120.0


def test_an_ending_alert_fires_once_and_again_after_the_end_moved(order: Order, mailoutbox: Any) -> None:
    Order.objects.update(expires_at=START + 10 * DAY, traffic_limit_bytes=None)
    order.refresh_from_db()
    alert = make(order, AlertKind.EXPIRES_IN, 3)
    assert evaluation.evaluate(START + 7 * DAY - MINUTE) == 0
    assert [evaluation.evaluate(START + 7 * DAY + n * MINUTE) for n in range(3)] == [1, 0, 0]
    Order.objects.update(expires_at=START + 30 * DAY)
    evaluation.evaluate(START + 8 * DAY)
    assert state(alert) == (True, 1)
    assert evaluation.evaluate(START + 28 * DAY) == 1
    mail.send(alert.firings.earliest("fired_at"), "alice@example.com")
    [message] = mailoutbox
    assert message.subject == f"Residential 10 GB ends on {START + 10 * DAY:%Y-%m-%d %H:%M} UTC"
    assert "You receive this alert 3 days before the end." in message.body
    assert evaluation.evaluate(START + 31 * DAY) == 0


def fail(order: Order, at: Any, requests: int, errors: int) -> None:
    carry(order, at, 1, requests, errors)


def test_an_error_rate_fires_once_per_window_and_rearms_after_a_quiet_one(order: Order, mailoutbox: Any) -> None:
    Order.objects.update(traffic_limit_bytes=None)
    order.refresh_from_db()
    alert = make(order, AlertKind.ERROR_RATE, 20)
    fail(order, START - 60 * MINUTE, 1000, 1000)  # before the window
    fail(order, START, 99, 99)
    assert evaluation.evaluate(START) == 0
    fail(order, START, 1, 0)
    assert [evaluation.evaluate(START + n * MINUTE) for n in range(3)] == [1, 0, 0]
    fail(order, START + 3 * MINUTE, 10_000, 0)
    evaluation.evaluate(START + 3 * MINUTE)
    assert state(alert) == (False, 1)  # still in the window that has fired
    evaluation.evaluate(START + 31 * MINUTE)
    assert state(alert) == (True, 1)
    fail(order, START + 40 * MINUTE, 200, 40)
    assert evaluation.evaluate(START + 40 * MINUTE) == 1
    mail.send(alert.firings.earliest("fired_at"), "alice@example.com")
    [message] = mailoutbox
    assert message.subject == "99 % of the requests of Residential 10 GB failed"
    assert "99 of 100 requests since" in message.body


def test_another_customers_errors_do_not_count(order: Order, bob: User, make_order: Any) -> None:
    make(order, AlertKind.ERROR_RATE, 20)
    fail(make_order(bob, limit=GB, started_at=START, now=START), START, 1000, 1000)
    assert evaluation.evaluate(START) == 0


def test_kinds_that_fire_together_have_separate_messages(order: Order) -> None:
    Order.objects.update(expires_at=START + DAY)
    order.refresh_from_db()
    for kind, threshold in (
        (AlertKind.USAGE_PERCENT, 80),
        (AlertKind.USAGE_PERCENT, 50),
        (AlertKind.BYTES_LEFT, 5 * GB),
        (AlertKind.EXPIRES_IN, 3),
    ):
        make(order, kind, threshold)
    carry_and_post(order, START, 9 * GB)
    assert evaluation.evaluate(START) == 4
    told = {(firing.kind, firing.threshold): firing.deliveries.count() for firing in Firing.objects.all()}
    assert told == {("usage_percent", 80): 1, ("usage_percent", 50): 0, ("bytes_left", 5 * GB): 1, ("expires_in", 3): 1}


@pytest.mark.parametrize(
    ("kind", "threshold", "figures"),
    [
        (AlertKind.BYTES_LEFT, 2 * GB, {"used_percent", "used_bytes", "limit_bytes", "projected_exhaustion_at"}),
        (AlertKind.EXPIRES_IN, 3, {"expires_at"}),
        (AlertKind.ERROR_RATE, 50, {"error_percent", "errors", "requests", "window_began_at"}),
    ],
)
def test_a_webhook_gets_the_figures_of_its_kind(
    kind: AlertKind, threshold: int, figures: set[str], order: Order, receiver: WebhookReceiver
) -> None:
    Order.objects.update(expires_at=START + DAY)
    order.refresh_from_db()
    alert = make(order, kind, threshold, method="webhook", webhook_url=receiver.url("ok"))
    carry_and_post(order, START, 9 * GB)
    fail(order, START, 200, 150)
    assert evaluation.evaluate(START) == 1
    assert deliveries.attempt(Delivery.objects.get().pk)
    [(_, headers, body)] = receiver.calls
    assert headers["Webhook-Signature"] == expected_signature(alert.webhook_secret, headers, body)
    data = json.loads(body)["data"]
    assert (data["kind"], data["threshold"]) == (kind, threshold)
    assert set(data) - {"alert_id", "subscription_id", "subscription_name", "kind", "threshold"} == figures


def test_an_evaluator_that_read_before_another_fired_does_not_fire_again(order: Order) -> None:
    alert = make(order, AlertKind.ERROR_RATE, 20)
    fail(order, START, 100, 50)
    [(row, read, _)] = evaluation._steps(Alert.objects.all(), START)
    assert evaluation.evaluate(START) == 1
    assert evaluation._fire(row, read, START, set(), []) == 0
    assert state(alert) == (False, 1)


def test_an_end_moved_after_the_read_prevents_the_firing(order: Order) -> None:
    Order.objects.update(expires_at=START + DAY)
    order.refresh_from_db()
    alert = make(order, AlertKind.EXPIRES_IN, 3)
    [(row, read, _)] = evaluation._steps(Alert.objects.all(), START)
    order_services.renew(order, reference="r", author="shop", now=START, expires_at=START + 30 * DAY)
    assert evaluation._fire(row, read, START, set(), []) == 0
    assert state(alert) == (True, 0)


def test_an_order_without_traffic_has_used_nothing(alice: User, make_order: Any) -> None:
    order = make_order(alice, limit=10, started_at=START, now=START)
    Alert.objects.all().delete()
    below, reached = make(order, AlertKind.BYTES_LEFT, 9), make(order, AlertKind.BYTES_LEFT, 10)
    assert evaluation.evaluate(START) == 1
    assert (state(below), state(reached)) == ((True, 0), (False, 1))


def test_removing_the_end_does_not_rearm_the_alert(order: Order) -> None:
    for limit in (10 * GB, None):
        Order.objects.update(expires_at=START + DAY, traffic_limit_bytes=limit)
        order.refresh_from_db()
        alert = make(order, AlertKind.EXPIRES_IN, 3)
        assert evaluation.evaluate(START) == 1
        Order.objects.update(expires_at=None)
        evaluation.evaluate(START)
        assert state(alert) == (False, 1)
        alert.delete()


def test_percentages_of_an_order_that_has_lost_its_limit_are_never_reached(order: Order) -> None:
    alert = make(order, AlertKind.USAGE_PERCENT, 80)
    Order.objects.update(expires_at=START + 30 * DAY, traffic_limit_bytes=None)
    carry(order, START, GB)
    assert evaluation.evaluate(START) == 0
    assert state(alert) == (True, 0)


def test_rearming_one_alert_does_not_touch_others(order: Order) -> None:
    alerts = [make(order, AlertKind.USAGE_PERCENT, threshold) for threshold in (70, 80)]
    Alert.objects.update(is_armed=False, fired_period=1)
    evaluation.rearm(alerts[0], START)
    assert [state(alert)[0] for alert in alerts] == [True, False]
