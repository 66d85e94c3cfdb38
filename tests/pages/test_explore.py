"""Exploring: ranges, zones, zoom, paging, what is on screen as a file, and the call behind it."""

from __future__ import annotations

import csv
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.serving import Server


def query(page: Page) -> dict[str, str]:
    return {name: found[0] for name, found in parse_qs(urlsplit(page.url).query).items()}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_address_holds_the_range_and_the_back_button_brings_it_back(visit: Visit, size: ViewportSize) -> None:
    page = visit("/dashboard/explore", size=size)
    with page.expect_response("**/analytics/traffic?*") as week:
        page.reload()
    page.get_by_text("24 hours").click()
    expect(page.locator("#websites")).to_contain_text("24 in all")
    assert query(page) == {"range": "24h"}
    page.go_back()
    expect(page.locator("#websites")).to_contain_text("40 in all")
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    assert parse_qs(urlsplit(week.value.url).query)["tz"] == ["Europe/Berlin"]


def test_dragging_over_a_chart_zooms_into_what_was_dragged_over(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=7d&tz=UTC")
    over = page.locator("#traffic .u-over")
    box = over.bounding_box()
    assert box
    expect(page.locator("#traffic")).to_have_attribute("aria-busy", "false")
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60, steps=5)
    page.mouse.up()
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    assert query(page).keys() == {"from", "to", "tz"}
    expect(page.locator("#traffic")).to_have_attribute("aria-busy", "false")


def test_websites_are_paged_and_what_is_on_screen_can_be_had_as_csv(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=7d")
    websites = page.locator("#websites")
    websites.get_by_role("button", name="Next").click()
    expect(websites).to_contain_text("Page 2 of 2 (40 in all)")
    assert query(page)["page"] == "2"
    shown = websites.locator("tbody td:first-child").all_text_contents()
    with page.expect_download() as started:
        websites.get_by_role("link", name="Websites as CSV").click()
    with open(started.value.path(), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["domain"] for row in rows] == shown
    assert len(shown) == 15


def test_the_copied_call_answers_what_the_panel_shows(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/explore?range=24h&domain=site-07.example")
    expect(page.locator("#websites")).to_contain_text("1 in all")
    page.locator("#websites").get_by_role("button", name="Copy as curl").click()
    command = page.evaluate("navigator.clipboard.readText()")
    found = re.fullmatch(r"curl -H 'x-api-key: YOUR_API_KEY' '(http[^']+)'", command)
    assert found
    answer = server.get(found[1].removeprefix(server.url))
    assert [row["domain"] for row in answer.json["data"]] == ["site-07.example"]


def test_a_range_of_more_than_two_months_is_refused_before_it_is_asked_for(visit: Visit) -> None:
    page = visit("/dashboard/explore")
    page.get_by_text("Custom").click()
    page.get_by_label("From").fill("2026-01-01T00:00")
    page.get_by_label("Until").fill("2026-06-01T00:00")
    page.get_by_label("Until").blur()
    assert (
        page.evaluate("document.getElementById('to').validationMessage") == "At most two months can be shown at once."
    )


def test_a_chart_can_be_read_as_a_table_and_walked_with_keys(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=24h")
    requests = page.locator("#requests")
    requests.get_by_role("img").focus()
    page.keyboard.press("ArrowRight")
    expect(requests.locator(".u-legend")).not_to_contain_text("—")
    requests.get_by_text("As a table").click()
    expect(requests.locator("details tbody tr").nth(90)).to_be_attached()
