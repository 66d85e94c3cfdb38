"""A key is created, used and revoked."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.serving import Server


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_key_works_from_when_it_is_made_until_it_is_revoked(visit: Visit, server: Server, size: ViewportSize) -> None:
    name = f"Report {size['width']}"
    page = visit("/dashboard/keys", size=size)
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Key “{name}” created")
    page.wait_for_load_state()  # the button works only after that
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied to clipboard.")).to_be_visible()
    secret = page.evaluate("navigator.clipboard.readText()")
    assert secret not in page.url
    assert server.get("/api/v1/me", x_api_key=secret).status == 200

    page.reload()  # which creates no second one
    expect(page).to_have_url(re.compile("/dashboard/keys$"))
    line = page.get_by_role("row").filter(has_text=name)
    expect(line).to_have_count(1)
    expect(line).to_contain_text("active")
    assert secret not in page.content()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    line.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text(f"Key “{name}” revoked.")).to_be_visible()
    expect(line).to_contain_text("revoked")
    assert server.get("/api/v1/me", x_api_key=secret).status == 401
    assert secret not in server.logs()


def test_a_key_is_rotated_in_two_clicks_and_works_on_for_a_day(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/keys")
    page.get_by_label("Name").fill("To rotate")
    page.get_by_role("button", name="Create key").click()
    before = page.locator(".secret").inner_text()
    page.goto("/dashboard/keys")
    page.get_by_role("link", name="Rotate To rotate").click()
    expect(page.get_by_label("Keep them valid for another 24 hours")).to_be_checked()
    page.get_by_role("button", name="Rotate key").click()
    after = page.locator(".secret").inner_text()
    assert before != after
    assert [server.get("/api/v1/me", x_api_key=key).status for key in (before, after)] == [200, 200]
    page.goto("/dashboard/keys")
    lines = page.get_by_role("row").filter(has_text="To rotate")
    expect(lines).to_have_count(2)
    expect(lines.filter(has_text="—")).to_have_count(1)  # the new one has no end


def test_a_key_that_ends_in_the_past_is_refused_beside_its_field(visit: Visit) -> None:
    page = visit("/dashboard/keys")
    page.get_by_label("Name").fill("Too late")
    page.get_by_label("Expires").fill("2020-01-01")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_text("Must be in the future.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Too late")
    expect(page.get_by_role("row").filter(has_text="Too late")).to_have_count(0)
