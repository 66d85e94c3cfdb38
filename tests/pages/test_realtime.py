"""The page of live traffic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.serving import Server, row


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_connections_show_by_country_while_they_are_open(visit: Visit, server: Server, size: ViewportSize) -> None:
    recent = datetime.now(UTC) - timedelta(minutes=20)
    seen = row(ts=f"{recent:%Y-%m-%d %H:%M:%S}", domain="site-00.example", country="DE")
    assert server.push(seen).status == 204
    page = visit("/dashboard", size=size)
    if size == PHONE:
        page.get_by_role("button", name="Menu", exact=False).first.click()
    page.get_by_role("link", name="Real time").click()
    expect(page.locator("#requests .u-over")).to_be_visible()
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    connections = {"proxy_user": "alice", "worker": "realtime", "country": "JP", "max_concurrency": 9}
    assert server.push(row(ts=now, **connections)).status == 204
    expect(page.locator("#connections tbody")).to_contain_text("Japan")
    expect(page.locator("#connections-map #JP")).to_have_attribute("data-level", "5")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_paused_page_sends_no_requests_until_it_is_resumed(visit: Visit) -> None:
    page = visit("/dashboard/realtime", who="bob")
    page.clock.install()
    page.reload()
    expect(page.locator("#live")).to_have_attribute("aria-busy", "false")
    with page.expect_request("**/usage/realtime?*"):
        page.clock.run_for(6000)
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(page.locator("#live")).to_have_attribute("aria-busy", "false")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(20000)
    assert asked == []
    with page.expect_request("**/usage/realtime?*"):
        pause.click()
