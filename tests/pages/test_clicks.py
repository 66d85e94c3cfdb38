"""Tasks take the clicks that docs/dashboard.md says; others are in test_drilldown.py."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.pages.conftest import Visit


def test_each_task_takes_three_clicks_from_the_overview(visit: Visit) -> None:
    page = visit("/dashboard")
    expect(page.get_by_role("heading", name="Residential 100 GB").locator("..")).to_contain_text("GB left")

    page.get_by_role("link", name="Explore", exact=True).click()
    page.get_by_text("Last month", exact=True).click()
    with page.expect_download() as started:
        page.get_by_role("link", name="Requests as CSV").click()
    assert started.value.suggested_filename.startswith("requests")

    page.get_by_role("button", name="Account menu of alice").click()
    page.get_by_role("link", name="Account", exact=True).click()
    page.get_by_role("link", name="Set up authenticator app").click()
    expect(page.get_by_role("img", name="QR code for your authenticator app")).to_be_visible()

    page.goto("/dashboard")
    page.get_by_role("link", name="Proxy users", exact=True).click()
    page.get_by_role("link", name="New password for alice", exact=True).click()
    page.get_by_role("button", name="Create password").click()
    expect(page.get_by_role("heading", name="New password of “alice”")).to_be_visible()
