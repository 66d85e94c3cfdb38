"""A view is saved by name, found again and deleted."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.pages.test_accessibility import faults


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_view_is_saved_and_opened_again_by_its_name(visit: Visit, size: ViewportSize) -> None:
    name = f"States {size['width']}"
    page = visit("/dashboard/explore?country=US&range=30d", size=size)
    page.get_by_role("button", name="Saved views").click()
    page.get_by_label("Save this range and these filters as").fill(name)
    page.get_by_role("button", name="Save view").click()
    expect(page.get_by_text(f"View “{name}” saved.")).to_be_visible()
    page = visit("/dashboard/explore", size=size, is_examined=True)
    expect(page.locator("#countries tbody tr").nth(1)).to_be_visible()  # more than the one of the view
    page.get_by_role("button", name="Saved views").click()
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name=name).click()
    expect(page).to_have_url(re.compile("range=30d&country=US$"))
    expect(page.locator("#countries tbody tr")).to_have_count(1)
    expect(page.locator("#saved")).not_to_be_visible()
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("button", name=f"Delete the saved view {name}").click()
    expect(page.get_by_text("Saved view deleted.")).to_be_visible()
