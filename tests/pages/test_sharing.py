"""A view is shared by a link with a reader who has no account."""

from __future__ import annotations

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.pages.test_accessibility import faults
from tests.serving import Server


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_view_is_shared_in_three_clicks_and_read_without_a_sign_in(
    visit: Visit, server: Server, size: ViewportSize
) -> None:
    name = f"For the agency {size['width']}"
    page = visit("/dashboard/explore?country=US&range=7d", size=size)
    page.get_by_role("link", name="Share without sign-in").click()
    expect(page.get_by_text("United States")).to_be_visible()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create link").click()
    address = page.locator(".secret").inner_text()

    reader = visit(address[address.index("/shared/") :], None, size=size, is_examined=True)
    expect(reader.get_by_role("heading", level=1)).to_have_text(name)
    countries = reader.locator("#countries tbody tr")
    expect(countries).to_have_count(1)
    expect(countries).to_contain_text("United States")
    expect(reader.locator("#traffic .chart")).to_be_visible()
    expect(reader.locator("[data-figure=requests]")).not_to_have_text("…")
    reader.locator("#websites").get_by_role("button", name="Traffic").click()
    expect(reader.locator("#websites tbody tr").first).to_contain_text("site-")
    assert reader.locator("main a:not(.csv)").count() == 0
    assert faults(reader) == []
    assert reader.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.goto("/dashboard/shares")
    line = page.get_by_role("row").filter(has_text=name)
    expect(line).to_contain_text("Country: United States")
    line.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Link revoked. It no longer works.")).to_be_visible()
    expect(line).to_have_count(0)
    assert server.get(address[address.index("/shared/") :]).status == 404
