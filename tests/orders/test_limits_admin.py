"""Staff set how an order renews, its daily limit, and the limits of logins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders.limits import FOREVER
from orders.models import Order, ProxyUser
from orders.periods import Every, RecurringPeriod
from tests.usage.test_limits import beat, follow, use

pytestmark = pytest.mark.django_db

GB = 2**30


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice, limit=5 * GB, logins=("a",))


def save_order(browser: Browser, order: Order, **entered: Any) -> Any:
    login = order.proxy_users.get()
    rows = {"TOTAL_FORMS": "1", "INITIAL_FORMS": "1", "0-id": login.pk, "0-login": login.login}
    form = {
        "name": order.name,
        "traffic_limit_bytes": "" if order.traffic_limit_bytes is None else order.traffic_limit_bytes / GB,
        "started_at_0": f"{order.started_at:%Y-%m-%d}",
        "started_at_1": f"{order.started_at:%H:%M:%S}",
        **{f"proxy_users-{name}": value for name, value in rows.items()},
    }
    return browser.post(f"/admin/orders/order/{order.pk}/change/", form | entered)


MONTHLY = {"period_every": "month", "period_anchor": "2026-01-31", "period_timezone": "Asia/Tokyo"}


def test_staff_set_change_and_remove_a_period(browser: Browser, order: Order) -> None:
    assert save_order(browser, order, **MONTHLY, period_rollover="on").status_code == 302
    order.refresh_from_db()
    assert order.period == RecurringPeriod(Every.MONTH, date(2026, 1, 31), "Asia/Tokyo", rollover=True)
    assert order.renews_at is not None
    assert order.renews_at > timezone.now()
    assert "period_every" in str(LogEntry.objects.latest("pk").get_change_message())
    assert "renews at" in browser.get(f"/admin/orders/order/{order.pk}/change/").content.decode().lower()
    assert save_order(browser, order, **MONTHLY | {"period_every": ""}).status_code == 302
    order.refresh_from_db()
    assert [order.period, order.renews_at, order.period_timezone] == [None, None, "Asia/Tokyo"]


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        (MONTHLY | {"period_anchor": ""}, "needs the day from which it does"),
        (MONTHLY | {"period_timezone": "Mars/Base"}, "Must be an IANA time zone"),
        (MONTHLY | {"period_anchor": "1999-12-31"}, "greater than or equal to"),
        ({"day_limit_bytes": "0", "traffic_limit_bytes": ""}, "greater than or equal to 1"),
        ({"day_limit_bytes": "5"}, "Only an order without a traffic limit has a daily one"),
    ],
)
def test_invalid_limits_are_errors_in_the_form(
    browser: Browser, order: Order, entered: dict[str, str], said: str
) -> None:
    answer = save_order(browser, order, **entered)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    order.refresh_from_db()
    assert [order.period, order.day_limit_bytes] == [None, None]


def test_an_empty_time_zone_is_utc(browser: Browser, order: Order) -> None:
    assert save_order(browser, order, **MONTHLY | {"period_timezone": ""}).status_code == 302
    order.refresh_from_db()
    assert order.period_timezone == "UTC"


def test_staff_set_a_daily_limit(browser: Browser, order: Order, clean_engine: Client) -> None:
    assert save_order(browser, order, traffic_limit_bytes="", day_limit_bytes="1").status_code == 302
    use(GB, now := timezone.now())
    beat(now)
    assert follow(set())[0] == {"a"}


def test_staff_limit_a_login_and_see_that_it_is_stopped(browser: Browser, order: Order, clean_engine: Client) -> None:
    use(GB, now := timezone.now())
    login = ProxyUser.objects.get()
    entered = {"login": "a", "order": order.pk, "total_limit_bytes": "1"}
    assert browser.post(f"/admin/orders/proxyuser/{login.pk}/change/", entered).status_code == 302
    beat(now)
    login.refresh_from_db()
    assert login.stopped_until == FOREVER
    assert "its limit is raised" in browser.get("/admin/orders/proxyuser/").content.decode()
    assert browser.post(f"/admin/orders/proxyuser/{login.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not ProxyUser.objects.exists()
