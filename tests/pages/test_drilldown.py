"""From a number to its details, and to its earlier value; docs/dashboard.md counts the clicks."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import Visit
from tests.serving import Server, row


@pytest.fixture(scope="module", autouse=True)
def _log(server: Server) -> None:
    """One failed request of alice's to site-05.example, an hour ago."""
    request = {
        "log_request_datetime": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%d %H:%M:%S}",
        "proxy_user_id": "alice",
        "log_hostname": "site-05.example",
        "log_error": "ECONNREFUSED",
        "country_id": "de",
    }
    key = {"x_api_key": server.keys["INGEST_KEY"], "Content_Type": "application/json"}
    assert server.call("POST", "/log/ingest", json.dumps({"logs": [request]}).encode(), **key).status == 204


def query(page: Page) -> dict[str, str]:
    return {name: found[0] for name, found in parse_qs(urlsplit(page.url).query).items()}


def test_rows_are_filters_and_an_error_opens_its_requests(visit: Visit) -> None:
    page = visit("/dashboard")
    page.locator("#countries").get_by_role("link", name="Germany").click()
    expect(page.get_by_label("Country")).to_have_value("DE")
    websites = page.locator("#websites")
    expect(websites).to_contain_text("Page 1 of 2")
    expect(page.locator("#countries tbody tr")).to_have_count(1)
    with page.expect_response("**/analytics/websites?*sortBy=bytes*"):
        websites.get_by_role("button", name="Traffic").click()
    expect(websites).to_have_attribute("aria-busy", "false")
    websites.get_by_role("link", name="site-05.example").click()
    expect(page.get_by_label("Domain")).to_have_value("site-05.example")
    expect(websites).to_contain_text("(1 total)")
    assert query(page) == {"range": "7d", "country": "DE", "sort": "bytes", "domain": "site-05.example"}
    page.locator("#errors").get_by_role("link", name="ECONNREFUSED").click()
    expect(page.locator("#requests")).to_contain_text("(1 total)")
    expect(page.get_by_role("searchbox", name="Host")).to_have_value('"site-05.example"')
    expect(page.get_by_role("searchbox", name="Error")).to_have_value('"ECONNREFUSED"')
    expect(page.get_by_label("Country")).to_have_value("de")
    page.go_back()
    page.go_back()
    expect(page.get_by_label("Domain")).to_have_value("")
    expect(websites).to_contain_text("Page 1 of 2")


def test_a_chart_point_opens_its_requests_and_zoom_can_be_reset(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=24h&interval=1h&tz=UTC&domain=site-05.example")
    over = page.locator("#requests .u-over")
    expect(page.locator("#requests")).to_have_attribute("aria-busy", "false")
    over.click(position={"x": 200, "y": 50})
    expect(page.get_by_role("heading", level=1)).to_have_text("Logs")
    asked = query(page)
    assert datetime.fromisoformat(asked["to"]) - datetime.fromisoformat(asked["from"]) == timedelta(hours=1)
    assert asked["host"] == '"site-05.example"'
    page.goto("/dashboard/explore?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&domain=a.example")
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    assert query(page) == {"domain": "a.example"}


def test_totals_and_optionally_charts_are_compared_with_the_previous_period(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=24h")
    totals = page.locator("#totals")
    expect(totals.locator("[data-figure=requests]")).to_have_text(re.compile(r"2[34]\d"))
    expect(totals).to_contain_text(re.compile(r"before: 2[34]\d"))
    legend = page.locator("#traffic .u-legend")
    expect(legend).not_to_contain_text("Received before")
    page.get_by_label("Compare with").select_option("Period before, drawn")
    expect(legend).to_contain_text("Received before")
    assert query(page) == {"range": "24h", "compare": "1"}
    found = page.evaluate(
        """async () => {
            const format = await import("/static/dashboard/format.js");
            return [format.count(1234567), format.bytes(1536), format.bytes(0, 2 ** 30), format.duration(0)];
        }"""
    )
    assert found == ["1,234,567", "1.50 kB", "0 GB", "0"]


def test_a_period_can_be_compared_with_last_year(visit: Visit, server: Server) -> None:
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    start = end - timedelta(days=1)
    is_leap_day = (start.month, start.day) == (2, 29)
    earlier = (start + timedelta(days=is_leap_day)).replace(year=start.year - 1)
    rows = [
        row(ts=f"{at + timedelta(hours=3):%Y-%m-%d %H:%M:%S}", proxy_user="carol", domain="years.example", count=count)
        for at, count in ((start, 30), (earlier, 20))
    ]
    assert server.push(*rows).status == 204
    page = visit(f"/dashboard/explore?from={start:%Y-%m-%d}T00:00Z&to={end:%Y-%m-%d}T00:00Z&tz=UTC", who="carol")
    expect(page.get_by_text("no traffic in the period to compare with")).to_be_visible()
    page.get_by_label("Compare with").select_option("Same period last year")
    expect(page.get_by_text("change from the same period last year")).to_be_visible()
    requests = page.locator("#requests")
    expect(page.locator("#totals")).to_contain_text("+50 %, before: 20")
    expect(requests.locator(".u-legend")).to_contain_text("Requests last year")
    requests.get_by_text("Show as table").click()
    expect(requests.locator("details")).to_contain_text(f"{start:%Y-%m-%d} 03:00\t30\t0\t20", use_inner_text=True)
    page.get_by_label("Compare with").select_option("Period before")
    expect(requests.locator(".u-legend")).not_to_contain_text("last year")
    assert "compare" not in query(page)
    page.get_by_label("Compare with").select_option("Period before, drawn")
    expect(page.get_by_text("no traffic in the period to compare with")).to_be_visible()
    expect(page.locator("#totals")).not_to_contain_text("none before")
    expect(requests.locator(".u-legend")).not_to_contain_text("Requests before")  # not a line at zero
