"""An alert is created, tested, seen to fire, and deleted."""

from __future__ import annotations

import email
import email.policy
import json
import re
import time
from email.message import EmailMessage

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.pages.test_accessibility import faults
from tests.serving import Server, row

GB = 2**30
FIRES_WITHIN_SECONDS = 300  # alerts are checked every 10 seconds; a busy machine takes longer


def make(page: Page, percent: int, recipients: str = "") -> None:
    page.get_by_role("link", name="New alert").click()
    page.get_by_label("Threshold").fill(str(percent))
    page.get_by_label("Additional recipients").fill(recipients)
    page.get_by_role("button", name="Create alert").click()


def mails_to(server: Server, address: str) -> list[EmailMessage]:
    files = (server.data_dir / "mail").glob("*")
    parts = [part for file in files for part in re.split(rb"(?m)^-{79}\n", file.read_bytes()) if part.strip()]
    mails = [email.message_from_bytes(part, policy=email.policy.default) for part in parts]
    return [mail for mail in mails if isinstance(mail, EmailMessage) and mail["To"] == address]


@pytest.fixture(scope="module", autouse=True)
def _daves_alert(server: Server) -> None:
    """Puts Dave over his alert before anything else is tested, so that waiting for beat's minute costs little."""
    body = json.dumps({"username": "dave", "password": server.keys["PASSWORD"]}).encode()
    token = server.call("POST", "/auth/token", body, Content_Type="application/json").json["access"]
    bearer = {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
    [subscription] = server.call("GET", "/api/v1/subscriptions", None, **bearer).json["data"]
    alert = {
        "subscription_id": subscription["id"],
        "threshold_percent": 42,
        "notification_method": "email",
        "recipients": ["ops-of-dave@example.com"],
    }
    assert server.call("POST", "/api/v1/usage/alerts", json.dumps(alert).encode(), **bearer).status == 201
    pushed = server.push(row(proxy_user="dave", bytes_received=250 * GB), row(proxy_user="dave", bytes_sent=GB))
    assert pushed.status == 204


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_alert_is_made_tested_changed_and_deleted(visit: Visit, server: Server, size: ViewportSize) -> None:
    percent, address = 30 + size["width"] % 10, f"ops-{size['width']}@example.com"
    page = visit("/dashboard/alerts", size=size)
    make(page, percent, address)
    expect(page.get_by_text("Alert created.")).to_be_visible()
    page.get_by_role("button", name="Send test").click()
    expect(page.get_by_text(f"Test delivered to {address}.")).to_be_visible()
    expect(page.locator("main")).to_contain_text("This alert has not been triggered yet.")
    [mail] = mails_to(server, address)
    assert mail["Subject"].startswith("Test: ")

    page.get_by_label("Threshold").fill("1001")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("less than or equal to 1000")).to_be_visible()
    page.get_by_label("Threshold").fill(str(percent + 20))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f": {percent + 20} %")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.get_by_role("link", name="Delete alert").click()
    page.get_by_role("button", name="Delete alert").click()
    expect(page.get_by_text("Alert deleted.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=address)).to_have_count(0)


def test_a_webhooks_secret_is_shown_once(visit: Visit) -> None:
    page = visit("/dashboard/alerts/new", who="dave")
    page.get_by_label("Webhook", exact=True).check()
    page.get_by_label("Webhook URL").fill("http://127.0.0.1/x")
    page.get_by_role("button", name="Create alert").click()
    expect(page.get_by_text("Belongs to a private network.")).to_be_visible()
    page.get_by_label("Webhook URL").fill("https://hooks.invalid/x")
    page.get_by_role("button", name="Create alert").click()
    secret = page.locator("code.secret").text_content() or ""
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="I've copied it").click()
    expect(page.locator("main")).to_contain_text("https://hooks.invalid/x")
    assert secret.removeprefix("whsec_") not in page.content()


def test_an_alert_whose_threshold_was_reached_has_fired_and_was_delivered(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/alerts", who="dave")
    page.get_by_role("row").filter(has_text="42 %").get_by_role("link").first.click()
    deadline = time.monotonic() + FIRES_WITHIN_SECONDS
    told = page.get_by_role("row").filter(has_text="ops-of-dave@example.com: delivered")
    while not told.count() and time.monotonic() < deadline:
        time.sleep(1)
        page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Alert for Datacenter 500 GB: 42 %")
    expect(told).to_contain_text("50.2 %")
    expect(page.locator(".page-head")).to_contain_text("triggered")
    assert faults(page) == []
    [mail] = mails_to(server, "ops-of-dave@example.com")
    assert mail["Subject"] == "Datacenter 500 GB has used 50.2 % of 500 GB, 249 GB left"
