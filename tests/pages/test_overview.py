"""The overview, and how a newcomer sees it."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

import pytest
from playwright.sync_api import ViewportSize, expect

from dashboard.overview import first_push
from tests.pages.conftest import DESKTOP, PHONE, ZONE, Visit
from tests.serving import Server, row


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_overview_shows_bytes_left_and_traffic(visit: Visit, server: Server, size: ViewportSize) -> None:
    page = visit("/dashboard", size=size)
    expect(page.get_by_role("progressbar", name="Traffic used of Residential 100 GB")).to_be_visible()
    # On the first days of a month this is not everything that was pushed.
    month = server.get(f"/api/v1/usage?period=month&tz={ZONE}").json["data"]["total"]["requests"]
    expect(page.locator("#month dl > div", has_text="Requests").locator("dd")).to_have_text(str(month))
    expect(page.locator("#traffic canvas")).to_be_visible()
    expect(page.locator("#domains")).to_contain_text("site-00.example")
    expect(page.locator("#errors")).to_contain_text("The site refused the connection.")
    expect(page.locator("#countries")).to_contain_text("Germany")
    expect(page.locator("#freshness")).to_contain_text("Newest data")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_live_tile_follows_pushed_traffic(visit: Visit, server: Server) -> None:
    page = visit("/dashboard")
    expect(page.locator("#live")).to_contain_text("Connections")
    assert server.push(row(ts=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", worker="w", max_concurrency=7)).status == 204
    expect(page.locator("#live dd").first).to_have_text("7")


def test_a_failing_panel_shows_an_error_and_recovers_on_retry(visit: Visit) -> None:
    page = visit("/dashboard/explore", failing=True)
    expect(page.locator("#websites")).to_contain_text("site-00.example")
    page.route("**/analytics/websites?*", lambda route: route.fulfill(status=500, json={"detail": "Not now."}))
    page.get_by_text("24 hours").click()
    expect(page.locator("#websites")).to_contain_text("Could not update. Not now.")
    page.unroute("**/analytics/websites?*")
    page.locator("#websites").get_by_role("button", name="Try again").click()
    expect(page.locator("#websites")).not_to_contain_text("Could not update")


def test_first_steps_are_shown_until_the_first_row_arrives(visit: Visit, server: Server) -> None:
    page = visit("/dashboard", who="bob")
    expect(page.get_by_role("heading", level=1)).to_have_text("No traffic yet")
    expect(page.locator("#sample-curl")).to_contain_text("-U 'bob:YOUR_PASSWORD'")
    page.get_by_label("Or enter it here").fill("it's")
    expect(page.locator("#sample-curl")).to_contain_text("-U 'bob:it%27s'")
    expect(page.locator("#first-push")).to_have_count(0)
    of_staff = visit("/dashboard", who="admin")
    expect(of_staff.locator("#first-push")).to_contain_text('"proxy_user": "LOGIN"')
    assert server.push(row(proxy_user="bob")).status == 204
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_the_first_push_command_quotes_any_login() -> None:
    login = """o'brien "$HOME" \\ `id`"""
    command = first_push(login, datetime(2026, 11, 21, 14, tzinfo=UTC))
    said = 'curl() { printf %s "${@: -1}"; }; '
    body = subprocess.run(["bash", "-c", said + command], capture_output=True, text=True, timeout=30, check=True).stdout
    assert json.loads(body)["logs"][0]["proxy_user"] == login
