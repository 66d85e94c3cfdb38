"""The staff console as staff use it, and what the public and the customer see of it."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.pages.test_accessibility import faults
from tests.serving import Server

LISTS: Final = (
    "/admin/",
    "/admin/accounts/order/",
    "/admin/accounts/user/",
    "/admin/geo/multiplier/",
    "/admin/geo/staticip/",
    "/admin/usage/ledgerentry/",
    "/admin/usage/firing/",
    "/admin/analytics/batch/",
    "/admin/admin/logentry/",
)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_first_page_tells_how_the_system_is(visit: Visit, size: ViewportSize) -> None:
    page = visit("/admin/", who="admin", size=size)
    state = page.get_by_role("region").first
    expect(state).to_contain_text("Journal")
    expect(state).to_contain_text("good")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


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
    expect(page.get_by_text("was added successfully")).to_be_visible()
    raw = public()
    page.get_by_role("row").filter(has_text="JP").get_by_label("Factor").fill("3")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert public() == 3 * raw
    page.goto("/proxies?type=residential-giga")
    expect(page.locator("#counts tr", has_text="Japan")).to_contain_text(f"{3 * raw:,}")


def test_staff_see_what_a_customer_sees_and_change_nothing_as_them(visit: Visit) -> None:
    page = visit("/admin/accounts/user/?q=carol", who="admin", failing=True)
    page.get_by_role("link", name="carol", exact=True).click()
    page.get_by_role("button", name=re.compile("View as")).click()
    expect(page.get_by_text("You see what carol sees, and can change nothing.")).to_be_visible()
    page.goto("/dashboard/keys")
    page.get_by_label("Name").fill("not mine")
    page.get_by_role("button", name=re.compile("Make|Create|Issue")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You may not do that")
    page.goto("/dashboard/keys")
    expect(page.locator("main")).not_to_contain_text("not mine")
    page.get_by_role("button", name="Stop viewing").click()
    expect(page).to_have_url(re.compile("/admin/"))


def test_a_tab_about_one_customer_never_shows_another_who_is_viewed_in_a_second_tab(visit: Visit) -> None:
    def view_as(page: Page, name: str) -> None:
        page.goto(f"/admin/accounts/user/?q={name}")
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("button", name=re.compile("View as")).click()
        expect(page.get_by_text(f"You see what {name} sees")).to_be_visible()

    page = visit("/admin/", who="admin", failing=True)
    view_as(page, "alice")
    page.goto("/dashboard/explore")
    expect(page.locator("#websites")).to_contain_text("site-00.example")
    view_as(page.context.new_page(), "carol")
    page.get_by_text("24 hours").click()
    expect(page.get_by_text("You see what carol sees")).to_be_visible()
    expect(page.locator("#websites")).to_contain_text("Nothing was carried in this time.")
    page.get_by_role("button", name="Stop viewing").click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_of_the_console_has_a_serious_fault(visit: Visit, theme: str) -> None:
    page = visit("/admin/", who="admin", theme=theme, is_examined=True)
    found: dict[str, list[tuple[str, object]]] = {}
    for path in LISTS:
        page.goto(path)
        found[path] = faults(page)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
