"""*Who runs out*: orders that run out, and customers who stopped or never began."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from console import outlook
from fonproxy.clickhouse.client import Client
from fonproxy.timerange import DAY
from orders import services as order_services
from orders.models import LedgerEntry, LedgerReason, Order
from tests.analytics.helpers import documented_row, engine_unavailable, push

pytestmark = pytest.mark.django_db
MakeOrder = Callable[..., Order]
VIEWS = ("running-out", "ending", "stopped-using", "never-used")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def use(order: Order, size: int, now: datetime, ago: timedelta = timedelta()) -> None:
    day = (now - ago).date()
    LedgerEntry.objects.create(
        order=order, reason=LedgerReason.USAGE, bytes=-size, requests=1, period_date=day, usage_day=day,
        created_at=now, updated_at=now,
    )  # fmt: skip


def bought(make_order: MakeOrder, user: User, name: str, limit: int, now: datetime, days_ago: float = 20) -> Order:
    order = make_order(user, name=name, limit=limit)
    start = now - timedelta(days=days_ago)
    Order.objects.filter(pk=order.pk).update(started_at=start, period_started_at=start)
    return order


def names(lines: list[Any]) -> list[str]:
    return [line.order.name for line in lines]


def test_orders_run_out_by_their_pace_the_soonest_first(
    engine: Client, alice: User, make_order: MakeOrder, now: datetime
) -> None:
    for name, limit in (("slow", 10_000), ("soon", 720), ("sooner", 705)):
        order = bought(make_order, alice, name, limit, now)
        for day in range(7):
            use(order, 100, now, day * DAY)
    assert names(outlook.running_out(DAY, now)) == ["sooner", "soon"]
    assert names(outlook.running_out(DAY, now, "share")) == ["sooner", "soon"]
    assert names(outlook.running_out(200 * DAY, now)) == ["sooner", "soon", "slow"]


def test_a_young_order_runs_out_by_the_pace_of_its_age(
    engine: Client, alice: User, make_order: MakeOrder, now: datetime
) -> None:
    order = bought(make_order, alice, "young", 1000, now, days_ago=0.25)
    use(order, 600, now)
    [line] = outlook.running_out(DAY, now)
    assert line.runs_out_at is not None
    assert line.runs_out_at < now + timedelta(hours=5)
    assert line.percent_left == 40


@pytest.mark.parametrize("age", [0.01, 0.9, 1.1, 2.9, 3.1, 5, 6.5, 7.5, 30])
def test_orders_of_every_age_are_listed(
    engine: Client, alice: User, make_order: MakeOrder, now: datetime, age: float
) -> None:
    left = round(900 / min(age, 7))
    order = bought(make_order, alice, "due", 1000 + left, now, days_ago=age)
    use(order, 1000, now)
    later = bought(make_order, alice, "later", 1000 + 20 * max(left, 1000), now, days_ago=age)
    use(later, 1000, now)
    assert names(outlook.running_out(DAY, now))[:1] == ["due"]


def test_unmetered_suspended_and_ended_orders_do_not_run_out(
    engine: Client, alice: User, make_order: MakeOrder, now: datetime
) -> None:
    unmetered = make_order(alice, name="unmetered")
    suspended, ended = (bought(make_order, alice, name, 100, now) for name in ("suspended", "ended"))
    for order in (unmetered, suspended, ended):
        use(order, 99, now)
    order_services.suspend(suspended, now)
    order_services.expire(ended, now)
    assert outlook.running_out(DAY, now) == []


def test_an_order_that_ran_out_today_is_listed(
    engine: Client, alice: User, make_order: MakeOrder, now: datetime
) -> None:
    order = bought(make_order, alice, "gone", 100, now)
    use(order, 100, now)
    order_services.credit(order, LedgerReason.ADJUSTMENT, 0, reference=None, author="", now=now)  # publishes its state
    [line] = outlook.running_out(DAY, now)
    assert (line.order, line.percent_left, line.is_active) == (order, 0, False)


def test_orders_that_end_are_listed_by_their_end(
    engine: Client, alice: User, make_order: MakeOrder, now: datetime
) -> None:
    for name, days in (("later", 2.5), ("next", 0.5), ("past", -1), ("far", 30)):
        order = make_order(alice, name=name)
        Order.objects.filter(pk=order.pk).update(expires_at=now + timedelta(days=days))
    assert names(outlook.ending(3 * DAY, now)) == ["next", "later"]
    assert names(outlook.ending(DAY, now)) == ["next"]


def test_customers_stopped_using_if_their_last_traffic_is_older_than_a_week(
    clean_engine: Client, alice: User, bob: User, worker: User, make_order: MakeOrder,
    client_for: Callable[..., APIClient], now: datetime,
) -> None:  # fmt: skip
    rows = []
    for user, ago in ((alice, 10), (bob, 10), (bob, 1)):
        order = make_order(user)
        ts = f"{now - timedelta(days=ago):%Y-%m-%d %H:%M:%S}"
        rows.append(documented_row(ts=ts, user_id=user.pk, order_id=order.pk, bytes_sent=2**30, bytes_received=0))
    assert push(client_for(worker, "ingest"), rows).status_code == 204
    [line] = outlook.stopped_using(now)
    assert (line.user, line.orders, line.traffic) == (alice, 1, "1 GB")
    assert line.last_day == (now - 10 * DAY).date()
    order_services.expire(alice.orders.get(), now)
    assert outlook.stopped_using(now) == []


def test_new_customers_without_traffic_have_an_active_order_and_no_usage(
    engine: Client, alice: User, bob: User, make_order: MakeOrder, now: datetime
) -> None:
    order = make_order(alice)
    used = make_order(bob)
    use(used, 1, now)
    User.objects.create_user("without-order")
    old = User.objects.create_user("old", date_joined=now - 60 * DAY)
    make_order(old)
    assert [line.user for line in outlook.never_used(now)] == [alice]
    order_services.suspend(order, now)
    assert outlook.never_used(now) == []


@pytest.mark.parametrize("show", VIEWS)
def test_every_view_says_when_it_is_empty_and_is_a_csv(clean_engine: Client, browser: Browser, show: str) -> None:
    page = browser.get(f"/admin/outlook/?show={show}").content.decode()
    assert re.search(r"<p>(No order|Every customer)", page)
    assert browser.get(f"/admin/outlook/?show={show}&format=csv").getvalue().startswith(b"\xef\xbb\xbfcustomer,email,")


def test_the_csv_has_the_customers_addresses(
    engine: Client, browser: Browser, alice: User, make_order: MakeOrder, now: datetime
) -> None:
    User.objects.filter(pk=alice.pk).update(email="al@example.org")
    order = make_order(alice, name="Winter")
    Order.objects.filter(pk=order.pk).update(expires_at=now + timedelta(hours=5))
    answer = browser.get("/admin/outlook/?show=ending&format=csv").getvalue().decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(answer))
    assert (row["customer"], row["email"], row["order"]) == ("alice", "al@example.org", order.published_id)
    assert "mailto:al@example.org?subject=Winter" in browser.get("/admin/outlook/?show=ending").content.decode()


@pytest.mark.parametrize("query", ["show=nothing", "days=x", "sort=x", "days=999999999999", "show=ending&sort=eta"])
def test_unknown_parameters_show_the_usual_view(clean_engine: Client, browser: Browser, query: str) -> None:
    assert browser.get(f"/admin/outlook/?{query}").status_code == 200


def test_the_page_says_that_clickhouse_is_unavailable_and_needs_permissions(
    clean_engine: Client, browser: Browser, helper: User
) -> None:
    with engine_unavailable():
        assert "ClickHouse is unavailable" in browser.get("/admin/outlook/?show=stopped-using").content.decode()
    browser.force_login(helper)
    assert browser.get("/admin/outlook/").status_code == 403
