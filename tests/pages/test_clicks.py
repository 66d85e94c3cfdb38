"""Tasks take as many clicks as docs/dashboard.md says; the others are in test_drilldown.py."""

from __future__ import annotations

import re
from base64 import b32decode
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django_otp.oath import totp
from playwright.sync_api import expect

from tests.pages.conftest import ZONE, Visit, sign_in
from tests.serving import Server


def test_each_task_takes_three_clicks_from_the_overview(visit: Visit) -> None:
    page = visit("/dashboard")
    expect(page.get_by_role("heading", name="Residential 100 GB").locator("..")).to_contain_text("GB left")

    page.get_by_role("link", name="Explore", exact=True).click()
    page.get_by_text("Last month", exact=True).click()
    with page.expect_download() as started:
        page.get_by_role("link", name="Requests as CSV").click()
    last = datetime.now(ZoneInfo(ZONE)).date().replace(day=1) - timedelta(days=1)
    assert started.value.suggested_filename == f"requests_{last:%Y-%m}-01_{last:%Y-%m-%d}.csv"

    page.goto("/dashboard")
    page.get_by_role("link", name="Explore", exact=True).click()
    page.get_by_role("link", name="Share without sign-in").click()
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link “Traffic” created")).to_be_visible()

    page.goto("/dashboard")
    page.get_by_role("link", name="API keys", exact=True).click()
    page.get_by_role("link", name="Rotate demo", exact=True).click()
    expect(page.get_by_label("Keep them valid for another 24 hours")).to_be_checked()
    page.get_by_role("button", name="Rotate key").click()
    expect(page.get_by_role("heading", name="New key “demo”")).to_be_visible()

    page.goto("/dashboard")
    page.get_by_role("link", name="Proxy users", exact=True).click()
    page.get_by_role("link", name="New password for alice", exact=True).click()
    page.get_by_role("button", name="Create password").click()
    expect(page.get_by_role("heading", name="New password of “alice”")).to_be_visible()

    page.goto("/dashboard")
    page.get_by_role("link", name="Proxy users", exact=True).click()
    page.get_by_role("link", name="Edit the limits and IP addresses of alice", exact=True).click()
    page.get_by_label("Limit per month, in GB").fill("500")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Limits and allowed IP addresses of “alice” saved.")).to_be_visible()


def test_a_second_factor_takes_four_clicks_and_six_digits(visit: Visit, server: Server) -> None:
    page = visit("/sign-in", None)
    sign_in(page, "carol", server)
    page.get_by_role("button", name="Account menu of carol").click()
    page.get_by_role("link", name="Account", exact=True).click()
    page.get_by_role("link", name="Set up authenticator app").click()
    expect(page.get_by_role("img", name="QR code for your authenticator app")).to_be_visible()
    key = page.locator("main code").inner_text()
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.type(f"{totp(b32decode(key)):06}")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    page.get_by_role("link", name="Continue").click()
    page.get_by_role("button", name="Turn off two-factor authentication").click()
    expect(page.get_by_text("Two-factor authentication is turned off.")).to_be_visible()


def test_an_error_or_a_point_of_a_chart_leads_to_its_requests(visit: Visit) -> None:
    page = visit("/dashboard")
    page.locator("#errors").get_by_role("link", name="ECONNREFUSED").click()
    expect(page.get_by_role("searchbox", name="Error")).to_have_value('"ECONNREFUSED"')

    page.goto("/dashboard")
    expect(page.locator("#requests")).to_have_attribute("aria-busy", "false")
    over = page.locator("#requests .u-over")
    box = over.bounding_box()
    assert box
    over.click(position={"x": box["width"] - 3, "y": 20})
    expect(page.get_by_role("heading", level=1)).to_have_text("Logs")
    expect(page.locator("#requests")).to_have_attribute("aria-busy", "false")
    page.get_by_label("Failed only").check()
    expect(page).to_have_url(re.compile("failed"))


def test_frequent_views_take_two_clicks(visit: Visit) -> None:
    page = visit("/dashboard")
    page.get_by_role("link", name="Explore", exact=True).click()
    page.locator("#websites").get_by_role("button", name="Traffic").click()
    expect(page.locator("#websites th[aria-sort=descending]")).to_have_text("Traffic")

    page.goto("/dashboard")
    page.get_by_role("link", name="Explore", exact=True).click()
    page.get_by_text("This month", exact=True).click()
    expect(page.locator("#totals .change").first).not_to_have_text("\u00a0")

    page.goto("/dashboard")
    page.locator("#countries").get_by_role("link", name="Germany").click()
    expect(page.locator("#websites")).to_contain_text("site-01.example")

    page.goto("/dashboard")
    page.get_by_role("link", name="Real time").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Real time")
