"""The ledger as its customer audits it: the balance after each line, and nothing that only staff may see."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import ViewportSize, expect

from accounts.models import User
from analytics.reports import DailyTotal
from fonproxy.timerange import DAY, floor
from orders import ledger
from orders import services as order_services
from orders.models import LedgerReason, Order
from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.serving import Server
from usage import metering

HOUR = timedelta(hours=1)
FIRST = floor(timezone.now(), DAY) - 6 * DAY
SECOND = FIRST + DAY
PATH = "/dashboard/ledger"


def used(order: Order, day: datetime, size: int, now: datetime) -> None:
    """The day's usage line as metering writes it: created at the first traffic, updated from then on."""
    line, total = (order.pk, day.date()), DailyTotal(size, 1)
    metering._set_lines({line: metering.UsageLineChange(total, DailyTotal(0, 0))}, now)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    """30 of 100 bytes on its first day; on the second 60, a top-up, 40 more and 5 that are a week late."""
    order = make_order(alice, limit=100, started_at=FIRST, now=FIRST, logins=("alice",))
    used(order, FIRST, 30, FIRST + HOUR)
    used(order, SECOND, 60, SECOND + HOUR)
    note = {"reference": "inv-77", "author": "clerk-9", "note": "was angry"}
    order_services.credit(order, LedgerReason.TOP_UP, 50, now=SECOND + 2 * HOUR, **note)
    used(order, SECOND, 100, SECOND + 3 * HOUR)
    used(order, FIRST - 7 * DAY, 5, SECOND + 4 * HOUR)
    return order


@pytest.fixture
def browser_of_alice(alice: User) -> Client:
    browser = Client()
    browser.force_login(alice)
    return browser


def lines(browser: Client, **query: Any) -> list[tuple[str, int, str]]:
    answer = browser.get(PATH, {"format": "csv", **query})
    rows = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    return [(row["reason"], int(row["bytes"]), row["balance_bytes"]) for row in rows]


def test_each_line_has_the_balance_after_it_and_the_newest_equals_the_current_balance(
    order: Order, browser_of_alice: Client
) -> None:
    assert lines(browser_of_alice) == [
        ("usage", -100, "15"),
        ("usage", -5, "115"),
        ("top_up", 50, "120"),
        ("usage", -30, "70"),
        ("service_purchase", 100, "100"),
    ]
    assert ledger.balance(order) == 15


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ({"first": SECOND.date()}, [("usage", -100, "15"), ("top_up", 50, "120")]),
        ({"first": FIRST.date(), "last": FIRST.date()}, [("usage", -30, "70"), ("service_purchase", 100, "100")]),
        ({"last": (FIRST - DAY).date()}, [("usage", -5, "115")]),
        ({"first": (SECOND + DAY).date()}, []),
    ],
)
def test_filtering_by_days_shows_fewer_lines_with_the_same_balances(
    days: dict[str, Any], expected: list[tuple[str, int, str]], order: Order, browser_of_alice: Client
) -> None:
    assert lines(browser_of_alice, **days) == expected


def test_pages_neither_overlap_nor_skip_and_keep_the_balances(
    order: Order, browser_of_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.ledger.PER_PAGE", 2)
    pages = [browser_of_alice.get(PATH, {"page": page}).context["page"] for page in (1, 2, 3)]
    assert [entry.balance for page in pages for entry in page] == [15, 115, 120, 70, 100]


def test_notes_and_references_of_staff_are_not_shown(order: Order, browser_of_alice: Client) -> None:
    told = browser_of_alice.get(PATH).content + browser_of_alice.get(PATH, {"format": "csv"}).content
    for secret in (b"was angry", b"clerk-9", b"inv-77"):
        assert secret not in told
    assert b"Top-up" in told


def test_the_linked_api_call_returns_the_same_lines(order: Order, browser_of_alice: Client) -> None:
    query = {"first": str(FIRST.date()), "last": str(SECOND.date())}
    call = browser_of_alice.get(PATH, query).context["api"]
    answered = {row["residential_ledger_bytes"] for row in browser_of_alice.get(call).json()["data"]}
    assert answered == {amount for _, amount, _ in lines(browser_of_alice, **query)} == {-100, 50, -30, 100}


def test_a_day_of_usage_leads_to_its_traffic_and_no_other_entry_does(order: Order, browser_of_alice: Client) -> None:
    page = browser_of_alice.get(PATH).content.decode()
    for day in (FIRST.date(), SECOND.date()):
        ends = f"from={day}T00%3A00%3A00Z&amp;to={day + DAY}T00%3A00%3A00Z&amp;tz=UTC"
        assert f"/dashboard/explore?order={order.published_id}&amp;{ends}" in page
    assert page.count("Traffic of this day") == 3  # of five entries


def test_another_customer_s_order_is_not_found(order: Order, bob: User) -> None:
    browser = Client()
    browser.force_login(bob)
    for query in ({}, {"format": "csv"}):
        assert browser.get(PATH, {"order": order.published_id, **query}).status_code == 404
    assert b"No subscriptions yet" in browser.get(PATH).content


def test_an_order_without_a_limit_has_usage_and_no_balance(
    alice: User, make_order: Callable[..., Order], browser_of_alice: Client
) -> None:
    used(make_order(alice, network="isp", started_at=FIRST, now=FIRST), SECOND, 7, SECOND)
    assert lines(browser_of_alice) == [("usage", -7, ""), ("service_purchase", 0, "")]
    page = browser_of_alice.get(PATH).content
    assert b"Balance</th>" not in page
    assert b"_ledger/search" not in page


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"first": "soon"}, "Enter a valid date."),
        ({"first": "2026-02-01", "last": "2026-01-01"}, "The end must not be before the start."),
    ],
)
def test_invalid_days_are_errors_beside_their_field(
    query: dict[str, str], told: str, order: Order, browser_of_alice: Client
) -> None:
    answer = browser_of_alice.get(PATH, query)
    assert (answer.status_code, told in answer.content.decode()) == (200, True)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_customer_looks_up_a_day_and_downloads_it(visit: Visit, server: Server, size: ViewportSize) -> None:
    page = visit(PATH, size=size)
    page.get_by_label("Order", exact=True).select_option("Residential 100 GB")
    page.get_by_label("From", exact=True).fill("2020-01-01")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("first=2020-01-01"))
    purchase = page.get_by_role("row").filter(has_text="Purchase")
    expect(purchase).to_contain_text("+100.000 GB")
    newest = page.locator("tbody tr").first
    expect(newest).to_contain_text("Usage")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download these entries as CSV").click()
    assert "service_purchase" in download.value.path().read_text()
    page.get_by_role("button", name="Copy as curl").click()
    call = page.evaluate("navigator.clipboard.readText()")
    assert call.startswith(f"curl -H 'x-api-key: YOUR_API_KEY' '{server.url}/residential_ledger/search?service_id=")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
