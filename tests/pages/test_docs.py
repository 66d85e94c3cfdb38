"""The reference page: themes, and that it needs no other host."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.pages.conftest import Visit


def test_the_reference_page_loads_without_errors_and_calls_no_other_host(visit: Visit) -> None:
    page = visit("/docs", who=None)
    expect(page.get_by_text("/analytics/traffic", exact=True).first).to_be_visible()


@pytest.mark.parametrize(("theme", "background"), [("light", "rgb(250, 250, 250)"), ("dark", "rgb(28, 32, 34)")])
def test_the_reference_page_follows_the_theme_of_the_pages(visit: Visit, theme: str, background: str) -> None:
    page = visit("/docs", who=None, theme=theme)
    expect(page.locator("body")).to_have_css("background-color", background)
    page.goto("/docs/guide")
    page.get_by_role("button", name="Switch between light and dark theme").click()
    page.goto("/docs")
    expect(page.locator("body")).not_to_have_css("background-color", background)


def test_every_operation_has_a_summary_in_its_line(visit: Visit) -> None:
    page = visit("/docs", who=None)
    expect(page.locator(".opblock-summary").first).to_be_visible()
    operations = page.locator(".opblock-summary").count()
    expect(page.locator(".opblock-summary-description")).to_have_count(operations)
    assert "" not in page.locator(".opblock-summary-description").all_inner_texts()
