"""Searching single requests, as a person looks for what went wrong."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.serving import Server, row

PATH = "/dashboard/logs"


@pytest.fixture(scope="module", autouse=True)
def newest(server: Server) -> datetime:
    """The time of the newest of dave's sixty requests, a minute apart, the newest to site-0; every twelfth failed."""
    now = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    rows = [
        {
            "log_request_datetime": f"{now - timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}",
            "proxy_user_id": "dave",
            "log_hostname": f"site-{minute % 3}.example",
            "log_method": "GET",
            "log_bytes_received": 1024 * (minute + 1),
            "log_session_id": f"s{minute % 4}",
            "country_id": "jp" if minute % 2 else "sg",
            **({"log_error": "ECONNREFUSED"} if minute % 12 == 0 else {"log_status_code": 500 if minute == 7 else 200}),
        }
        for minute in range(60)
    ]
    key = {"x_api_key": server.keys["INGEST_KEY"], "Content_Type": "application/json"}
    assert server.call("POST", "/log/ingest", json.dumps({"logs": rows}).encode(), **key).status == 204
    return now


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_errors_of_sites_are_counted_beside_those_of_proxies_and_lead_to_their_requests(
    visit: Visit, server: Server
) -> None:
    seen = row(ts=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", proxy_user="dave")
    assert server.push(seen).status == 204  # else the overview shows how to begin
    page = visit("/dashboard", who="dave")
    expect(page.locator("#statuses")).to_have_text("Responses with an HTTP error in the log: 5xx: 1")
    page.get_by_role("link", name="5xx: 1").click()
    expect(page.locator("#requests")).to_contain_text("(1 total)")
    expect(page.get_by_label("Status code")).to_have_value("5xx")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_filters_narrow_the_list_and_are_kept_in_the_url(visit: Visit, size: ViewportSize) -> None:
    page = visit(PATH, who="dave", size=size)
    requests = page.locator("#requests")
    expect(requests).to_contain_text("Page 1 of 2 (60 total)")
    if size == PHONE:
        page.get_by_role("button", name="Filters").click()
    page.get_by_label("Failed only").check()
    expect(requests).to_contain_text("(5 total)")
    page.get_by_label("Failed only").uncheck()
    page.get_by_label("Status code").fill("5xx")
    page.get_by_label("Status code").press("Enter")
    expect(requests).to_contain_text("(1 total)")
    page.get_by_label("Status code").fill("")
    page.get_by_label("Host").fill("SITE-1")
    page.get_by_label("Host").press("Enter")
    expect(requests).to_contain_text("(20 total)")
    page.get_by_label("Country").select_option("Japan")
    expect(requests).to_contain_text("(10 total)")
    assert query(page) == {"host": ["SITE-1"], "country": ["jp"]}
    page.reload()
    expect(requests).to_contain_text("(10 total)")
    if size == PHONE:
        expect(requests.locator("td.stamp").first).to_be_in_viewport()
        page.get_by_role("button", name="Filters (2)").click()
    expect(page.get_by_label("Host")).to_have_value("SITE-1")
    page.keyboard.press("Escape")
    page.go_back()
    expect(requests).to_contain_text("(20 total)")
    page.get_by_role("link", name="Clear all filters").click()
    expect(requests).to_contain_text("(60 total)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_column_heads_sort_and_pages_follow(visit: Visit) -> None:
    page = visit(PATH, who="dave")
    heads = page.get_by_role("columnheader")
    expect(heads.filter(has_text="Time")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Traffic").click()
    expect(heads.filter(has_text="Traffic")).to_have_attribute("aria-sort", "descending")
    first = page.locator("#requests tbody tr").first
    expect(first).to_contain_text("60.0 kB")
    page.get_by_role("button", name="Next").click()
    expect(first).to_contain_text("10.0 kB")
    page.get_by_role("button", name="Traffic").click()
    expect(first).to_contain_text("1.00 kB")
    assert query(page) == {"sort": ["log_total_bytes_asc"]}


def test_a_request_opens_with_details_and_a_shareable_url(visit: Visit) -> None:
    page = visit(PATH, who="dave")
    page.locator("#requests tbody tr").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("ECONNREFUSED")
    expect(dialog).to_contain_text("The site refused the connection.")
    expect(dialog).to_contain_text("Datacenter 500 GB")
    link = page.url
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).not_to_have_url(re.compile("log="))
    page.goto(f"{PATH}?host=nowhere&{urlsplit(link).query}")
    expect(dialog).to_contain_text("ECONNREFUSED")
    dialog.get_by_role("button", name="Show only requests with Session s0").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("searchbox", name="Session")).to_have_value("s0")
    other = visit(PATH, failing=True)
    other.goto(link)
    expect(other.get_by_role("dialog")).to_contain_text("This request no longer exists.")
    expect(other.get_by_role("dialog")).not_to_contain_text("ECONNREFUSED")


def test_a_custom_range_is_in_the_chosen_zone(visit: Visit, server: Server, newest: datetime) -> None:
    page = visit(f"{PATH}?tz=Asia/Tokyo", who="dave")
    page.get_by_text("Custom").click()
    in_tokyo = newest + timedelta(hours=9)
    page.get_by_label("From").fill(f"{in_tokyo - timedelta(minutes=24):%Y-%m-%dT%H:%M}")
    page.get_by_label("Until").fill(f"{in_tokyo + timedelta(minutes=1):%Y-%m-%dT%H:%M}")
    page.get_by_label("Until").blur()
    expect(page.locator("#requests")).to_contain_text("(25 total)")
    page.get_by_label("From").fill(f"{in_tokyo - timedelta(days=20):%Y-%m-%dT%H:%M}")
    page.get_by_label("From").blur()
    assert page.get_by_label("Until").evaluate("field => field.validationMessage").startswith("Requests are kept")
    page.locator("#requests").get_by_role("button", name="Copy as curl").click()
    call = page.evaluate("navigator.clipboard.readText()")
    assert f"'{server.url}/log/search?min_log_request_datetime=" in call
    with page.expect_download() as download:
        page.locator("#requests").get_by_role("link", name="CSV").click()
    assert "ECONNREFUSED" in download.value.path().read_text()


def test_a_login_of_another_account_matches_nothing(visit: Visit) -> None:
    page = visit(PATH, who="dave")
    page.get_by_label("Proxy user").fill("alice")
    page.get_by_label("Proxy user").press("Enter")
    expect(page.locator("#requests")).to_contain_text("No matching requests")


def test_show_only_requests_with_a_value_filters_exactly(visit: Visit, server: Server) -> None:
    now = f"{datetime.now(UTC) - timedelta(minutes=5):%Y-%m-%d %H:%M:%S}"
    requests = [("exact.example", "50%_of it"), ("notexact.example", "50% and more of it"), ("exact.example.org", "")]
    rows = [
        {"log_request_datetime": now, "proxy_user_id": "dave", "log_hostname": host, "log_error": error}
        for host, error in requests
    ]
    key = {"x_api_key": server.keys["INGEST_KEY"], "Content_Type": "application/json"}
    assert server.call("POST", "/log/ingest", json.dumps({"logs": rows}).encode(), **key).status == 204
    for kind, value in (("Host", "exact.example"), ("Error", "50%_of it")):
        page = visit(f"{PATH}?host=exact&tz=Foo/Bar&range=constructor", who="dave")
        expect(page.locator("#requests")).to_contain_text("(3 total)")
        page.locator("#requests tbody tr").filter(has_text="50%_of it").click()
        page.get_by_role("button", name=f"Show only requests with {kind} {value}").click()
        expect(page.locator("#requests")).to_contain_text("(1 total)")
        expect(page.get_by_role("searchbox", name=kind)).to_have_value(f'"{value}"')
