"""The browser tests of `make test`: sign in, look at one page, send one form. The others run in `make test-pages`."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.pages.conftest import Visit, sign_in
from tests.serving import Server


def test_a_customer_signs_in_sees_traffic_and_makes_a_key(visit: Visit, server: Server) -> None:
    page = visit("/sign-in", who=None)
    sign_in(page, "alice", server)
    expect(page.locator("#traffic canvas")).to_be_visible()
    expect(page.locator("#domains")).to_contain_text("site-00.example")
    page.get_by_role("link", name="API keys", exact=True).click()
    page.get_by_label("Name").fill("Smoke")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Key “Smoke” created")
