"""The reference page, and that it needs no other host."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.pages.conftest import Visit


def test_the_reference_page_loads_without_errors_and_calls_no_other_host(visit: Visit) -> None:
    page = visit("/docs", who=None)
    expect(page.get_by_text("/analytics/traffic", exact=True).first).to_be_visible()
