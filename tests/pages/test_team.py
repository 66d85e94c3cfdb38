"""A person is invited, joins with a new sign-in, sees the account without being able to change it, and is removed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.pages.test_accessibility import faults
from tests.serving import Server
from tests.waiting import wait_for

LINK = re.compile(r"http://\S+(/join/\S+)")
PASSWORD = "another horse that is right"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_viewer_is_invited_in_three_clicks_and_has_access_until_removed(
    visit: Visit, server: Server, size: ViewportSize
) -> None:
    address = f"kim{size['width']}@example.com"
    page = visit("/dashboard", size=size)
    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("link", name="Team").click()
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Send invitation").click()
    expect(page.get_by_text(f"Invitation sent to {address}.")).to_be_visible()
    line = page.get_by_role("row").filter(has_text=address)
    expect(line).to_contain_text("invited")

    kim = visit(_link_mailed_to(address, server), None, size=size, is_examined=True)
    expect(kim.get_by_role("heading", level=1)).to_have_text("Join the team of alice")
    assert faults(kim) == []
    kim.get_by_label(re.compile("^New password:?$")).fill(PASSWORD)
    kim.get_by_label(re.compile("confirmation")).fill(PASSWORD)
    kim.get_by_role("button", name="Join team").click()
    expect(kim.get_by_text("You joined the team of alice.")).to_be_visible()
    expect(kim.get_by_role("heading", name="Subscriptions")).to_be_visible()
    kim.goto("/dashboard/alerts")
    expect(kim.get_by_role("link", name="New alert")).to_have_count(0)
    kim.get_by_role("button", name="Account menu").click()
    expect(kim.get_by_role("button", name="alice viewer")).to_have_attribute("aria-current", "true")
    assert faults(kim) == []
    assert kim.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.reload()
    expect(line.get_by_role("link", name="Change role")).to_be_visible()
    assert faults(page) == []
    line.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove from team").click()
    expect(page.get_by_text(f"{address} removed from the team.")).to_be_visible()
    kim.goto("/dashboard/team")
    expect(kim.get_by_role("heading", name=f"Who can use the account {address}")).to_be_visible()
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _link_mailed_to(address: str, server: Server) -> str:
    links: list[str] = []

    def is_mailed() -> bool:
        texts = [file.read_text() for file in (server.data_dir / "mail").glob("*")]
        found = [LINK.search(text) for text in texts if f"To: {address}" in text]
        links[:] = [link[1] for link in found if link]
        return bool(links)

    wait_for(is_mailed)
    return links[0]
