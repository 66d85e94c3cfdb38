"""Alerts about the limits of single proxy users: once for each login, limit and day or month."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.test import Client as Browser
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import User
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import Client
from fonproxy.timerange import UTC_ZONE
from orders import proxy_users
from orders.limits import Limits, Used, Windows
from orders.models import Order, ProxyUser
from orders.periods import Every, RecurringPeriod
from tests.orders.helpers import change
from tests.usage.alerts.receiver import WebhookReceiver, expected_signature
from usage.alerts import deliveries, login_limits, mail, services, test_delivery
from usage.alerts.thresholds import reached_limits
from usage.ids import alert_id, subscription_id
from usage.models import Alert, AlertKind, Delivery, Firing, LimitName

GB = 2**30
DAY = timedelta(days=1)
NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
WINDOWS = Windows.at(NOON, UTC_ZONE)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    start = NOON - 9 * DAY
    return make_order(alice, limit=None, name="Resale", logins=("a", "b", "c"), started_at=start, now=start)


@pytest.fixture
def alert(order: Order) -> Alert:
    return make(order)


def make(order: Order, threshold: int = 80, **more: Any) -> Alert:
    method = more.pop("method", "email")
    return services.create(order, threshold, method, kind=AlertKind.LOGIN_PERCENT, now=NOON, **more)


def limit(login: str = "a", **given: int | None) -> None:
    proxy_users.change_by_owner(ProxyUser.objects.get(login=login), {"limits": given})


def use(size: int, at: datetime = NOON, login: str = "a") -> None:
    row = {"ts": f"{at:%Y-%m-%d %H:%M:%S}", "proxy_user": login, "count": 1, "bytes_received": size}
    owner = ProxyUser.objects.get(login=login).order.user_id
    body = msgspec.json.encode({"logs": [row]})
    ingest_service.accept(body, to_inbox, account_id=owner, route=IngestBatch.Route.TRAFFIC, key=None, now=at)


def reported(alert: Alert) -> list[list[tuple[str, str, float]]]:
    """The login, limit and used percentage in each firing, oldest firing first."""
    return [
        [(each["login"], each["limit"], each["used_percent"]) for each in firing.logins]
        for firing in alert.firings.order_by("arming")
    ]


@pytest.mark.parametrize(
    ("used", "percent", "reached"),
    [
        (Used(day=79), 80, []),
        (Used(day=80), 80, [LimitName.DAY]),
        (Used(day=100, month=800), 80, [LimitName.DAY, LimitName.MONTH]),
        (Used(month=999, total=10**6), 100, []),
        (Used(month=1000, total=10**6), 100, [LimitName.MONTH]),
    ],
)
def test_a_limit_is_reached_at_exactly_its_percentage(used: Used, percent: int, reached: list[LimitName]) -> None:
    found = list(reached_limits(Limits(day=100, month=1000), used, WINDOWS, percent))
    assert [each.name for each in found] == reached


def test_it_fires_once_a_day_for_each_login(alert: Alert) -> None:
    for login in ("a", "b"):
        limit(login, dayBytes=GB)
    use(GB * 8 // 10)
    assert login_limits.evaluate(NOON) == 0
    use(1)
    assert [login_limits.evaluate(NOON) for _ in range(3)] == [1, 0, 0]
    use(GB, login="b")
    use(GB, login="c")  # has no limit
    use(GB)
    assert [login_limits.evaluate(NOON) for _ in range(2)] == [1, 0]
    use(GB, NOON + DAY)
    assert [login_limits.evaluate(NOON + DAY) for _ in range(2)] == [1, 0]
    assert reported(alert) == [[("a", "day", 80.0)], [("b", "day", 100.0)], [("a", "day", 100.0)]]
    assert Delivery.objects.count() == 3
    alert.refresh_from_db()
    assert (alert.is_armed, alert.last_fired_at) == (True, NOON + DAY)


def test_logins_that_reach_it_together_share_one_firing(alert: Alert) -> None:
    limit("a", dayBytes=GB, monthBytes=GB, totalBytes=GB)
    limit("b", totalBytes=100 * GB)
    for login in ("a", "b"):
        use(95 * GB, login=login)
    assert login_limits.evaluate(NOON) == 1
    assert reported(alert) == [
        [("a", "day", 9500.0), ("a", "month", 9500.0), ("a", "total", 9500.0), ("b", "total", 95.0)]
    ]


def test_a_day_ends_at_midnight_of_the_orders_zone(order: Order, alert: Alert) -> None:
    change(order, NOON, period=RecurringPeriod(Every.MONTH, date(2024, 1, 15), "Europe/Berlin"))
    limit(dayBytes=GB)
    use(GB)
    assert login_limits.evaluate(NOON) == 1
    before = datetime(2024, 3, 10, 22, 59, tzinfo=UTC)
    use(GB, before)
    assert login_limits.evaluate(before) == 0
    midnight = before + timedelta(minutes=1)
    assert login_limits.evaluate(midnight) == 0
    use(GB, midnight)
    assert login_limits.evaluate(midnight) == 1
    assert alert.firings.latest("arming").logins[0]["resets_at"] == "2024-03-11T23:00:00Z"


def test_a_raised_limit_counts_as_a_new_limit(alert: Alert) -> None:
    limit(totalBytes=GB)
    use(GB)
    assert login_limits.evaluate(NOON) == 1
    limit(totalBytes=2 * GB)
    assert login_limits.evaluate(NOON) == 0
    use(GB)
    assert login_limits.evaluate(NOON) == 1
    limit(totalBytes=None)
    assert login_limits.evaluate(NOON + 40 * DAY) == 0


def test_raising_the_threshold_lets_it_fire_again_and_lowering_does_not(alert: Alert) -> None:
    limit(dayBytes=100)
    use(85)
    assert login_limits.evaluate(NOON) == 1
    services.change(alert, {"threshold": 50}, NOON)
    assert login_limits.evaluate(NOON) == 0
    services.change(alert, {"threshold": 100}, NOON)
    assert login_limits.evaluate(NOON) == 0
    use(15)
    assert login_limits.evaluate(NOON) == 1


def test_expired_orders_other_orders_and_removed_logins_are_left_alone(
    order: Order, alert: Alert, bob: User, make_order: Callable[..., Order]
) -> None:
    make_order(bob, limit=None, logins=("bobs",), started_at=NOON - DAY, now=NOON - DAY)
    for login in ("a", "bobs"):
        limit(login, dayBytes=1)
        use(1, login=login)
    Order.objects.filter(pk=order.pk).update(expires_at=NOON)
    assert login_limits.evaluate(NOON) == 0
    Order.objects.filter(pk=order.pk).update(expires_at=None)
    assert login_limits.evaluate(NOON) == 1
    assert reported(alert) == [[("a", "day", 100.0)]]
    proxy_users.remove(list(ProxyUser.objects.filter(login="a")), NOON)
    assert login_limits.evaluate(NOON) == 0
    assert not alert.login_marks.exists()


def test_an_evaluator_that_read_before_another_fired_does_not_fire_again(alert: Alert) -> None:
    limit(dayBytes=1)
    use(1)
    [user] = login_limits._limited({alert.order_id})
    reached = login_limits._reached(alert, [user], {user.pk: Used(day=1)}, NOON)
    assert login_limits.evaluate(NOON) == 1
    assert login_limits._fire(alert, reached, NOON) == 0
    assert len(reported(alert)) == 1


def test_a_failing_alert_does_not_block_the_others(
    order: Order, alert: Alert, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = make(order, 50)
    limit(dayBytes=1)
    use(1)
    fire = login_limits._fire

    def failing(row: Alert, *rest: Any) -> int:
        if row.pk == alert.pk:
            raise RuntimeError("out of luck")
        return fire(row, *rest)

    monkeypatch.setattr(login_limits, "_fire", failing)
    assert login_limits.evaluate(NOON) == 1
    assert f"alert {alert.pk} could not be evaluated" in caplog.text
    assert (reported(alert), len(reported(other))) == ([], 1)


def test_the_mail_names_the_login_its_limit_and_when_it_resets(alert: Alert, mailoutbox: Any) -> None:
    limit(dayBytes=GB)
    use(GB * 9 // 10)
    login_limits.evaluate(NOON)
    mail.send(alert.firings.get(), "alice@example.com")
    use(GB, NOON + DAY)
    login_limits.evaluate(NOON + DAY)
    mail.send(alert.firings.latest("arming"), "alice@example.com")
    first, second = mailoutbox
    assert first.subject == "a of Resale has used 89.9 % of its daily limit of 1 GB"
    assert "921.60 MB of the daily limit of 1 GB, until 2024-03-11 00:00 UTC" in first.body
    assert "You receive this alert when a proxy user has used 80 % of one of its own limits." in first.body
    assert second.subject == "a of Resale has reached its daily limit of 1 GB"


def test_a_mail_counts_the_several_limits_of_one_login(alert: Alert, mailoutbox: Any) -> None:
    limit(dayBytes=GB, monthBytes=GB)
    use(GB)
    login_limits.evaluate(NOON)
    mail.send(alert.firings.get(), "alice@example.com")
    [message] = mailoutbox
    assert message.subject == "a of Resale has used 80 % or more of 2 limits"
    assert "1 GB of the monthly limit of 1 GB, until 2024-04-01 00:00 UTC" in message.body


def test_a_mail_about_many_logins_lists_ten_and_counts_the_others(order: Order, alert: Alert, mailoutbox: Any) -> None:
    logins = [f"n{number:02}" for number in range(12)]
    proxy_users.put(order, {login: {"total_limit_bytes": 10} for login in logins}, NOON)
    for login in logins:
        use(10, login=login)
    login_limits.evaluate(NOON)
    mail.send(alert.firings.get(), "alice@example.com")
    [message] = mailoutbox
    assert message.subject == "12 proxy users of Resale have used 80 % or more of one of their limits"
    assert ("n09" in message.body, "n10" in message.body) == (True, False)
    assert "More:           2" in message.body


def test_a_webhook_gets_each_login_with_its_figures(order: Order, receiver: WebhookReceiver) -> None:
    alert = make(order, method="webhook", webhook_url=receiver.url("ok"))
    limit("a", dayBytes=GB)
    limit("b", totalBytes=3)
    use(GB)
    use(3, login="b")
    assert login_limits.evaluate(NOON) == 1
    assert deliveries.attempt(Delivery.objects.get().pk)
    [(_, headers, body)] = receiver.calls
    assert headers["Webhook-Signature"] == expected_signature(alert.webhook_secret, headers, body)
    data = json.loads(body)["data"]
    assert (data["kind"], data["threshold"], data["subscription_id"]) == (
        "login_percent",
        80,
        subscription_id(order.pk),
    )
    assert data["logins"] == [
        {
            "login": "a",
            "limit": "day",
            "used_percent": 100.0,
            "used_bytes": GB,
            "limit_bytes": GB,
            "resets_at": "2024-03-11T00:00:00Z",
        },
        {
            "login": "b",
            "limit": "total",
            "used_percent": 100.0,
            "used_bytes": 3,
            "limit_bytes": 3,
            "resets_at": None,
        },
    ]


def test_customers_make_it_by_api_and_see_it_on_its_page(
    order: Order, client_for: Callable[..., APIClient], client: Browser
) -> None:
    api = client_for(order.user)
    body = {
        "subscription_id": subscription_id(order.pk),
        "kind": "login_percent",
        "threshold": 80,
        "notification_method": "email",
    }
    for bad in ({"threshold": 101}, {"threshold": 0}):
        assert api.post("/api/v1/usage/alerts", {**body, **bad}, format="json").status_code == 400
    answer = api.post("/api/v1/usage/alerts", body, format="json")
    assert (answer.status_code, answer.json()["data"]["kind"]) == (201, "login_percent")
    limit("b", monthBytes=100)
    use(87, login="b")
    login_limits.evaluate(NOON)
    alert = Alert.objects.get()
    client.force_login(order.user)
    page = client.get(f"/dashboard/alerts/{alert_id(alert.pk)}").content.decode()
    assert "b: 87.0 %" in page
    assert "80 % of a proxy user&#x27;s limit" in page
    form = {"subscription_id": subscription_id(order.pk), "kind": "login_percent", "threshold": "90"}
    assert client.post("/dashboard/alerts/new", {**form, "notification_method": "email"}).status_code == 302
    assert services.alerts_of(order.user_id)[0].threshold == 90


def test_a_test_names_a_login_and_records_no_firing(alert: Alert, mailoutbox: Any) -> None:
    test_delivery.request(alert, NOON)
    assert test_delivery.attempt(alert.tests.get().pk)
    [message] = mailoutbox
    assert message.subject == "Test: alert for Resale when a proxy user has used 80 % of one of its own limits"
    assert "a:              819.20 MB of the daily limit of 1 GB" in message.body
    assert not Firing.objects.exists()
    assert not alert.login_marks.exists()


def test_staff_read_the_firings_of_an_alert(order: Order, alert: Alert, client: Browser) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    page = reverse("admin:usage_alert_change", args=[alert.pk])
    for login in ("a", "b"):
        limit(login, totalBytes=10)
    assert "Of 2 proxy users with limits, 0 reached the threshold" in client.get(page).content.decode()
    use(10)
    assert "1 reached the threshold: it fires at the next evaluation" in client.get(page).content.decode()
    login_limits.evaluate(NOON)
    assert "1 reached the threshold; it has fired about these." in client.get(page).content.decode()
    assert client.get(reverse("admin:usage_firing_changelist")).status_code == 200
