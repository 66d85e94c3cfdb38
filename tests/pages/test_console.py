"""The staff console as staff use it, and what the public and the customer see as a result."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.pages.test_accessibility import faults
from tests.serving import Server, row

LISTS: Final = (
    "/admin/",
    "/admin/search/?q=ali",
    "/admin/search/?q=nothing-has-this-name",
    "/admin/addresses/",
    "/admin/addresses/?range=203.0.113.0/24",
    "/admin/addresses/?range=198.51.100.0/24",
    "/admin/accounts/auditrecord/",
    "/admin/gateways/",
    "/admin/new-customer/",
    "/admin/outlook/?days=7",
    "/admin/outlook/?show=never-used",
    "/admin/usage-report/",
    "/admin/usage-report/?group=gateway&range=today",
    "/admin/usage-report/?range=custom",
    "/admin/customers/3/",
    "/admin/customers/3/stop/",
    "/admin/orders/order/",
    "/admin/accounts/user/",
    "/admin/geo/multiplier/",
    "/admin/geo/multiplier/add/",
    "/admin/analytics/abusereport/",
    "/admin/analytics/abusereport/add/",
    "/admin/geo/multiplierchange/",
    "/admin/geo/staticip/",
    "/admin/orders/ledgerentry/",
    "/admin/usage/firing/",
    "/admin/analytics/ingestbatch/",
    "/admin/admin/logentry/",
)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_home_page_shows_the_state_of_the_system(visit: Visit, size: ViewportSize) -> None:
    page = visit("/admin/", who="admin", size=size)
    expect(page.get_by_role("region").first).to_contain_text("All good")
    state = page.get_by_role("region", name="System")
    expect(state).to_contain_text("Journal")
    expect(state).to_contain_text("good")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_customer_is_found_from_every_page_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit("/admin/geo/staticip/", who="admin")
    page.locator("body").press("/")
    page.keyboard.type("carol@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="carol", exact=True)).to_be_visible()


def test_an_abuser_is_stopped_and_resumed(visit: Visit, server: Server) -> None:
    page = visit("/admin/", who="admin")
    page.get_by_label("Find a customer").fill("bob@example.com")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Stop everything").click()
    expect(page.locator("main")).to_contain_text("will be deactivated: the customer cannot sign in")
    page.get_by_role("button", name="Stop everything").click()
    expect(page.get_by_role("heading", name="Everything is stopped")).to_be_visible()
    page.get_by_role("link", name="Undo").click()
    page.get_by_role("button", name="Undo the stop").click()
    expect(page.get_by_role("link", name="Stop everything")).to_be_visible()


def test_traffic_is_refunded_from_the_customers_page(visit: Visit) -> None:
    page = visit("/admin/search/?q=alice@example.com", who="admin")
    page.get_by_role("row", name="Mobile").get_by_role("link", name="Refund").click()
    page.get_by_label("Gigabytes").fill("2")
    page.get_by_role("button", name="Show what it does").click()
    page.get_by_role("button", name="Refund").click()
    expect(page.locator(".messagelist")).to_contain_text("22.00 GB")


def test_disputed_bytes_are_exported_from_the_customers_ledger(visit: Visit) -> None:
    page = visit("/admin/search/?q=alice@example.com", who="admin", is_examined=True)
    page.get_by_role("region", name="Ledger").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="By hour")).to_be_visible()
    assert faults(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    assert download.value.suggested_filename.startswith("evidence-")


def test_an_exit_address_at_a_time_is_found_from_the_search(visit: Visit, server: Server) -> None:
    at = datetime.now(UTC) - timedelta(hours=3)
    used = row(ts=f"{at:%Y-%m-%d %H:%M:%S}", ip_out="192.0.2.78", domain="victim.example", proxy_user="dave")
    assert server.push(used).status == 204
    page = visit("/admin/", who="admin", is_examined=True)
    page.get_by_label("Find a customer").fill("192.0.2.78")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Who used 192.0.2.78 as exit address?").click()
    page.get_by_label("Time, or from").fill(f"{at:%Y-%m-%dT%H:%M}")
    page.get_by_label("Case").fill("CERT 13")
    page.get_by_role("button", name="Look up").click()
    answer = page.get_by_role("region", name="Who used the addresses then")
    expect(answer.get_by_role("row", name="192.0.2.78")).to_contain_text("victim.example")


def test_a_customer_is_onboarded_up_to_the_first_request(visit: Visit, server: Server) -> None:
    page = visit("/admin/", who="admin", is_examined=True)
    page.get_by_role("link", name="New customer").first.click()
    page.get_by_label("User name").fill("erin")
    page.get_by_label("E-mail address").fill("erin@example.com")
    page.get_by_label("Product").select_option(index=1)
    page.get_by_label("Traffic limit, in GB").fill("5")
    page.get_by_label("Proxy login").fill("erin-1")
    page.get_by_role("button", name="Add customer").click()
    expect(page.locator(".messagelist")).to_contain_text("The customer erin and an order were added.")
    expect(page.locator("main")).to_contain_text("Proxy login erin-1")
    assert faults(page) == []
    page.goto("/admin/outlook/?show=never-used")
    expect(page.get_by_role("row", name="erin")).to_be_visible()
    now = datetime.now(UTC)
    first = row(ts=f"{now:%Y-%m-%d %H:%M:%S}", proxy_user="erin-1", bytes_sent=2**20, bytes_received=0)
    assert server.push(first).status == 204
    page.goto("/admin/search/?q=erin")
    expect(page.get_by_role("region", name="Proxy logins")).to_contain_text(f"{now:%Y-%m-%d}")
    expect(page.get_by_role("region", name="Usage, last 30 days")).to_contain_text("1 MB")


def test_a_country_on_the_usage_page_links_to_its_customers(visit: Visit) -> None:
    page = visit("/admin/", who="admin")
    page.get_by_role("link", name="Usage", exact=True).first.click()
    page.get_by_label("By:").select_option("Country")
    page.get_by_role("button", name="Show").click()
    page.locator("#chart .u-over").wait_for()
    page.get_by_role("row").get_by_role("link", name="Germany").click()
    expect(page.get_by_role("link", name="Remove: Country Germany")).to_be_visible()
    expect(page.get_by_role("row", name="alice")).to_be_visible()
    page.get_by_text("Show as table").click()
    expect(page.locator("#chart table").get_by_role("columnheader", name="All", exact=True)).to_be_visible()


def test_a_pasted_abuse_report_leads_to_the_customer_and_is_exported(visit: Visit, server: Server) -> None:
    at = datetime.now(UTC) - timedelta(hours=2)
    abuse = row(ts=f"{at:%Y-%m-%d %H:%M:%S}", ip_out="192.0.2.77", domain="victim.example", proxy_user="dave")
    assert server.push(abuse).status == 204
    page = visit("/admin/analytics/abusereport/", who="admin", is_examined=True)
    page.get_by_role("link", name="Add abuse report").click()
    page.get_by_label("Case").fill("CERT 12")
    page.get_by_label("Report", exact=False).last.fill(f"Source: 192[.]0[.]2[.]77\nDate: {at:%Y-%m-%dT%H:%M:%SZ}")
    page.get_by_role("button", name="Look up").click()
    answer = page.get_by_role("region", name="Who used the addresses then")
    expect(answer.get_by_role("row", name="192.0.2.77")).to_contain_text("victim.example")
    assert faults(page) == []
    with page.expect_download() as download:
        answer.get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename.startswith("abuse-report-")


def test_a_multiplier_changed_in_its_list_changes_the_public_count(visit: Visit, server: Server) -> None:
    def public() -> int:
        counts = server.call("GET", "/geo/counts?type=residential-giga").json["counts"]
        return int(counts["residential-giga"]["default"]["provider-api"]["JP"])

    page = visit("/admin/geo/multiplier/add/", who="admin")
    page.get_by_label("Proxy type").select_option("residential-giga")
    page.get_by_label("Pool").fill("default")
    page.get_by_label("Country").fill("JP")
    page.get_by_label("Factor").fill("1")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Save these factors").click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    raw = public()
    page.get_by_role("row").filter(has_text="JP").get_by_label("Factor").fill("3")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text="JP")).to_contain_text(f"{3 * raw:,}")
    assert public() == raw
    page.get_by_role("button", name="Save these factors").click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert public() == 3 * raw
    page.goto("/proxies?type=residential-giga")
    expect(page.locator("#counts tr", has_text="Japan")).to_contain_text(f"{3 * raw:,}")


def test_a_country_is_raised_for_three_days_with_a_preview_and_undone(visit: Visit) -> None:
    page = visit("/admin/geo/multiplier/", who="admin", is_examined=True)
    page.get_by_role("link", name="Add multiplier").click()
    page.get_by_label("Proxy type").select_option("residential-giga")
    page.get_by_label("Country").fill("FR")
    page.get_by_label("Factor").fill("2")
    for name, day in (("starts_at", "2031-11-28"), ("ends_at", "2031-12-01")):
        page.locator(f"#id_{name}_0").fill(day)
        page.locator(f"#id_{name}_1").fill("00:00:00")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("main")).to_contain_text("Public counts change on 2031-11-28 00:00 UTC.")
    expect(page.get_by_role("row", name="FR")).to_be_visible()
    assert faults(page) == []
    page.get_by_role("button", name="Save these factors").click()
    expect(page.get_by_role("row").filter(has_text="FR")).to_contain_text("planned")
    page.locator(".messagelist").get_by_role("link", name="undo").click()
    page.get_by_role("button", name="Undo this change").click()
    expect(page.get_by_text("The change is undone.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="FR")).to_have_count(0)


def test_staff_view_the_dashboard_as_a_customer_and_can_change_nothing(visit: Visit) -> None:
    page = visit("/admin/accounts/user/?q=carol", who="admin", failing=True)
    page.get_by_role("link", name="carol", exact=True).click()
    page.get_by_role("button", name=re.compile("View as")).click()
    expect(page.get_by_text("You are viewing as carol. Changes are turned off until you stop viewing.")).to_be_visible()
    page.goto("/dashboard/keys")
    page.get_by_label("Name").fill("not mine")
    page.get_by_role("button", name=re.compile("Make|Create|Issue")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Access denied")
    page.goto("/dashboard/keys")
    expect(page.locator("main")).not_to_contain_text("not mine")
    page.get_by_role("button", name="Stop viewing").click()
    expect(page).to_have_url(re.compile("/admin/"))


def test_a_tab_about_one_customer_never_shows_another_who_is_viewed_in_a_second_tab(visit: Visit) -> None:
    def view_as(page: Page, name: str) -> None:
        page.goto(f"/admin/accounts/user/?q={name}")
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("button", name=re.compile("View as")).click()
        expect(page.get_by_text(f"You are viewing as {name}")).to_be_visible()

    page = visit("/admin/", who="admin", failing=True)
    view_as(page, "alice")
    page.goto("/dashboard/explore")
    expect(page.locator("#websites")).to_contain_text("site-00.example")
    view_as(page.context.new_page(), "carol")
    page.get_by_text("24 hours").click()
    expect(page.get_by_text("You are viewing as carol")).to_be_visible()
    expect(page.locator("#websites")).to_contain_text("No traffic in this period.")
    page.get_by_role("button", name="Stop viewing").click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_console_page_has_a_serious_accessibility_violation(visit: Visit, theme: str) -> None:
    page = visit("/admin/", who="admin", theme=theme, is_examined=True)
    found: dict[str, list[tuple[str, object]]] = {}
    for path in LISTS:
        page.goto(path)
        found[path] = faults(page)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
