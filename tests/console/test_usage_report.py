"""Usage of all customers by product, gateway, country and customer, compared with the previous period."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.profiles import HEAVY, Profile
from orders.models import Network, Order
from tests.analytics.helpers import documented_row, engine_unavailable, push

pytestmark = pytest.mark.django_db
GB = 2**30
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
RANGE = {"range": "custom", "first": f"{DAY:%Y-%m-%d}", "last": f"{DAY:%Y-%m-%d}"}


@pytest.fixture
def orders(
    clean_engine: Client,
    alice: User,
    bob: User,
    worker: User,
    make_order: Callable[..., Order],
    client_for: Callable[..., APIClient],
) -> dict[str, Order]:
    """Traffic of a day, of the day before and of two others, and of an order that does not exist."""
    orders = {"alice": make_order(alice), "bob": make_order(bob, network=Network.MOBILE)}
    nobody = {"user_id": 999_999, "order_id": 999_999}

    def row(hours: float, whose: str, gigabytes: int, **more: Any) -> dict[str, Any]:
        order = orders.get(whose)
        ids = {"user_id": order.user_id, "order_id": order.pk} if order else nobody
        ts = f"{DAY + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}"
        usual = {"worker": "gw-1", "country": "DE", "count": 10, "error_count": 1}
        return documented_row(ts=ts, bytes_sent=gigabytes * GB, bytes_received=0, **ids, **(usual | more))

    rows = [
        row(0, "alice", 3),
        row(23.9, "alice", 1, worker="gw-2", country="US"),
        row(5, "bob", 2, worker="gw-2", error_count=9),
        row(6, "", 1, country="XX", worker=""),
        row(-0.1, "alice", 8),
        row(-24, "bob", 1),
        row(24, "bob", 100),
        row(-25, "bob", 100),
    ]
    assert push(client_for(worker, "ingest"), rows).status_code == 204
    return orders


def url(**query: Any) -> str:
    return f"/admin/usage-report/?{urlencode(RANGE | query)}"


def lines(browser: Browser, **query: Any) -> list[dict[str, str]]:
    answer = browser.get(url(format="csv", **query))
    assert answer.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


def sizes(browser: Browser, **query: Any) -> dict[str, tuple[int, int]]:
    """Gigabytes now and before, by name."""
    return {
        line["name"]: (int(line["bytes"]) // GB, int(line["bytes_before"]) // GB) for line in lines(browser, **query)
    }


def text(browser: Browser, **query: Any) -> str:
    page = browser.get(url(**query)).content.decode()
    return " ".join(re.sub("<[^>]*>", " ", page).split())


def chart(browser: Browser, **query: Any) -> dict[str, Any]:
    page = browser.get(url(**query)).content.decode()
    [found] = re.findall(r'<script id="chart-data" type="application/json">(.*?)</script>', page)
    made: dict[str, Any] = json.loads(found)
    return made


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("customer", {"alice": (4, 8), "bob": (2, 1), "": (1, 0)}),
        ("product", {"residential product": (4, 8), "mobile product": (2, 1), "": (1, 0)}),
        ("type", {"residential-giga": (6, 9), "": (1, 0)}),
        ("gateway", {"gw-1": (3, 9), "gw-2": (3, 0), "": (1, 0)}),
        ("country", {"Germany": (5, 9), "United States": (1, 0), "": (1, 0)}),
    ],
)
def test_usage_is_compared_by_group(
    browser: Browser, orders: dict[str, Order], group: str, expected: dict[str, tuple[int, int]]
) -> None:
    assert sizes(browser, group=group) == expected


def test_the_page_has_the_sums_the_share_and_the_change(browser: Browser, orders: dict[str, Order]) -> None:
    page = text(browser, group="customer")
    assert f"Traffic 7 GB {MINUS}22.2 %" in page
    assert "Requests 40 +100 %" in page
    assert f"alice · customer page of alice 4 GB 57.1 % 8 GB {MINUS}50.0 % 20 2 (10.0 %)" in page
    assert "unknown (999999) 1 GB" in page


@pytest.mark.parametrize(
    ("sort", "first"),
    [("traffic", "alice"), ("before", "alice"), ("errors", "bob"), ("grew", "bob"), ("fell", "alice")],
)
def test_groups_are_sorted(browser: Browser, orders: dict[str, Order], sort: str, first: str) -> None:
    known = [line["name"] for line in lines(browser, group="customer", sort=sort) if line["name"]]
    assert known[0] == first


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"country": "US"}, {"alice": (1, 0)}),
        ({"gateway": "gw-2"}, {"bob": (2, 0), "alice": (1, 0)}),
        ({"type": "residential-giga"}, {"alice": (4, 8), "bob": (2, 1)}),
        ({"type": "shared-proxy"}, {}),
    ],
)
def test_usage_is_narrowed(
    browser: Browser, orders: dict[str, Order], filters: dict[str, str], expected: dict[str, tuple[int, int]]
) -> None:
    assert sizes(browser, group="customer", **filters) == expected


@pytest.mark.parametrize("query", [{"group": "product"}, {"group": "customer", "type": "residential-giga"}])
def test_a_report_reads_the_orders_once(browser: Browser, orders: dict[str, Order], query: dict[str, str]) -> None:
    with CaptureQueriesContext(connection) as asked:
        assert browser.get(url(**query)).status_code == 200
    assert len([one for one in asked.captured_queries if 'FROM "orders_order"' in one["sql"]]) == 1


def test_a_row_leads_to_the_customers_of_its_group(browser: Browser, orders: dict[str, Order]) -> None:
    product = orders["bob"].product_id
    page = browser.get(url(group="product")).content.decode()
    assert f"product={product}" in page
    assert sizes(browser, group="customer", product=product) == {"bob": (2, 1)}
    assert "Product: mobile product" in text(browser, group="customer", product=product)
    assert sizes(browser, group="product", customer=orders["bob"].user_id) == {"mobile product": (2, 1)}


def test_the_chart_has_each_point_and_the_day_before(browser: Browser, orders: dict[str, Order]) -> None:
    found = chart(browser, group="customer")
    assert len(found["times"]) == 96
    assert found["times"][0] == int(DAY.timestamp())
    by_label = {line["label"]: line["values"] for line in found["lines"]}
    assert (by_label["All"][0], by_label["All"][20], by_label["All"][24]) == (3 * GB, 2 * GB, GB)
    assert (by_label["All before"][0], by_label["All before"][95]) == (GB, 8 * GB)
    assert (by_label["alice"][0], by_label["alice"][95], by_label["bob"][20]) == (3 * GB, GB, 2 * GB)
    assert "999999" in by_label


def test_the_csv_over_time_adds_up_to_the_day(browser: Browser, orders: dict[str, Order]) -> None:
    answer = browser.get(url(group="gateway", format="csv-over-time")).getvalue().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(answer)))
    assert sum(int(row["bytes"]) for row in rows) == 7 * GB
    assert (rows[0]["time"], rows[0]["name"], rows[0]["bytes"]) == (f"{DAY:%Y-%m-%d} 00:00:00", "gw-1", str(3 * GB))


def test_days_begin_at_local_midnight(browser: Browser, orders: dict[str, Order]) -> None:
    later = sizes(browser, group="customer", tz="Asia/Kolkata")  # 18:30 UTC the day before to 18:30 UTC
    assert later == {"alice": (11, 0), "bob": (2, 101), "": (1, 0)}
    day, before, after = (f"{DAY + timedelta(days=days):%Y-%m-%d} 00:00" for days in (0, -1, 1))
    told = f"{day} {DASH} {after}, compared with {before} {DASH} {day}; Asia/Kolkata."
    assert told in text(browser, tz="Asia/Kolkata")


def test_the_default_zone_is_that_of_the_member_of_staff(browser: Browser, clean_engine: Client) -> None:
    User.objects.filter(username="root").update(time_zone="Asia/Kolkata")
    assert "; Asia/Kolkata." in text(browser)


def test_an_empty_report_says_so(browser: Browser, clean_engine: Client) -> None:
    assert "No traffic in this period or in the previous one." in text(browser)


@pytest.mark.parametrize("preset", ["today", "yesterday", "7d", "30d", "month", "last-month"])
def test_every_range_can_be_reported(browser: Browser, orders: dict[str, Order], preset: str) -> None:
    answer = browser.get(f"/admin/usage-report/?range={preset}&group=country")
    assert answer.status_code == 200
    assert b"errorlist" not in answer.content


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"first": ""}, "Choose a day."),
        ({"first": "2026-13-01"}, "Enter a valid date."),
        ({"first": "0001-01-01"}, "Must be after the year 2000"),
        ({"first": "9999-12-31", "last": "9999-12-31"}, "Must be after the year 2000"),
        ({"last": "2001-01-01", "first": "2001-01-02"}, "Is before the first day."),
        ({"first": "2010-01-01", "last": "2011-01-02"}, "At most 366 days can be chosen."),
        ({"first": "2099-01-01", "last": "2099-01-02"}, "Is in the future."),
        ({"group": "gateway", "country": "DE"}, "Gateways are not kept by country."),
        ({"group": "nothing"}, "Select a valid choice."),
        ({"tz": "Mars/Olympus"}, "Select a valid choice."),
        ({"customer": "-1"}, "Customer: Ensure this value is greater than or equal to 0."),
        ({"product": "x"}, "Product: Enter a whole number."),
        ({"type": "x"}, "Proxy type: Select a valid choice."),
        ({"gateway": "\0"}, "Gateway: Null characters are not allowed."),
        ({"country": "Germany"}, "Country: Ensure this value has at most 2 characters"),
        ({"sort": "x"}, "Sort: Select a valid choice."),
    ],
)
def test_an_impossible_query_is_refused_with_a_message(
    browser: Browser, clean_engine: Client, query: dict[str, str], sentence: str
) -> None:
    answer = browser.get(url(**query))
    assert answer.status_code == 200
    assert sentence in answer.content.decode()


def test_an_invalid_filter_is_left_out_of_the_next_query(browser: Browser, clean_engine: Client) -> None:
    page = browser.get(url(customer="-1", country="DE", group="product")).content.decode()
    assert 'name="country" value="DE"' in page
    assert 'name="customer"' not in page


@pytest.mark.parametrize(
    "query",
    [{"customer": "99999999999999999999"}, {"product": "x"}, {"gateway": "\0"}, {"country": "';--"}, {"sort": "x"}],
)
def test_filters_without_a_match_are_not_a_server_error(
    browser: Browser, clean_engine: Client, query: dict[str, str]
) -> None:
    assert browser.get(url(**query)).status_code == 200
    assert browser.get(url(format="csv", **query)).status_code == 200


def test_a_name_that_looks_like_markup_or_a_formula_stays_text(
    browser: Browser, orders: dict[str, Order], worker: User, client_for: Callable[..., APIClient]
) -> None:
    row = documented_row(ts=f"{DAY:%Y-%m-%d} 01:00:00", worker="=1+1</script><b>", user_id=1, order_id=1)
    assert push(client_for(worker, "ingest"), [row]).status_code == 204
    assert "</script><b>" not in browser.get(url(group="gateway")).content.decode()
    assert "'=1+1</script><b>" in {line["name"] for line in lines(browser, group="gateway")}


def test_the_page_says_that_clickhouse_is_unavailable_or_the_query_too_large(
    browser: Browser, orders: dict[str, Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_unavailable():
        assert "ClickHouse is unavailable" in text(browser)
        assert "ClickHouse is unavailable" in browser.get(url(format="csv")).content.decode()

    few_rows = Profile("heavy", (*HEAVY.settings, ("max_rows_to_read", 1)))
    monkeypatch.setattr("console.usage_report.HEAVY", few_rows)
    assert "choose fewer days or a filter" in text(browser)


def test_usage_needs_the_permissions_to_see_customers_and_orders(browser: Browser, helper: User) -> None:
    browser.force_login(helper)
    for query in ({}, {"format": "csv"}, {"format": "csv-over-time"}):
        assert browser.get(url(**query)).status_code == 403
