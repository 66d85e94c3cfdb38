"""The public page of available proxies, as a visitor sees it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.serving import ROOT, Server, environment

PATH = "/proxies"
# The demo's addresses, and a second pool.
COUNTS = """
import django
django.setup()
from django.utils import timezone
from geo import refresh, static_ips
from demo.geo import make_counts
now = timezone.now()
make_counts(now)
address = {"proxy_type": "server-static", "pool": "premium", "geoip_country": "JP", "maxmind_country": "KR"}
static_ips.upsert({"192.0.2.1": address | {"is_available": True}}, now)
refresh.refresh(now, even_recent=True)
"""


@pytest.fixture(scope="module", autouse=True)
def _counts(server: Server) -> None:
    subprocess.run(
        [sys.executable, "-c", COUNTS],
        cwd=ROOT,
        env=environment(server.data_dir),
        check=True,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_anyone_can_see_available_proxies_and_find_a_country(visit: Visit, size: ViewportSize) -> None:
    page = visit(PATH, who=None, size=size)
    rows = page.locator("#counts tbody tr")
    expect(rows.first).to_contain_text("United States")
    expect(page.locator("#total")).to_contain_text("proxies in 11 countries")
    amounts = [int(text.replace(",", "")) for text in page.locator("#counts td.number").all_text_contents()]
    assert amounts == sorted(amounts, reverse=True)
    page.get_by_role("searchbox", name="Country").fill("ger")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("DE")
    page.get_by_role("searchbox", name="Country").fill("atlantis")
    expect(page.locator("#total")).to_have_text("No proxies in a country with that name. Check the spelling.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_types_pools_and_services_are_chosen_and_kept_in_the_url(visit: Visit) -> None:
    page = visit(PATH, who=None)
    rows = page.locator("#counts tbody tr")
    expect(page.get_by_label("Pool")).to_be_hidden()
    page.get_by_text("Static servers").click()
    expect(rows.filter(has_text="Netherlands")).to_be_visible()
    page.get_by_label("Pool").select_option("premium")
    expect(rows).to_contain_text("Japan")
    page.get_by_label("Geolocation service").select_option("maxmind")
    expect(rows).to_contain_text("South Korea")
    page.reload()
    expect(rows).to_contain_text("South Korea")
    page.get_by_text("Residential").click()
    page.get_by_role("columnheader", name="Country").get_by_role("button").click()
    expect(rows.first).to_contain_text("Argentina")


def test_a_failure_is_shown_and_then_the_list(visit: Visit) -> None:
    page = visit(PATH, who=None, failing=True)
    page.route("**/geo/counts?*", lambda route: route.fulfill(status=500, json={"detail": "Not now."}))
    page.get_by_text("Private").click()
    expect(page.locator("#counts")).to_contain_text("Could not update. Not now.")
    page.unroute("**/geo/counts?*")
    page.locator("#counts").get_by_role("button", name="Try again").click()
    expect(page.locator("#counts")).not_to_contain_text("Could not update")
    page.get_by_role("button", name="Copy as curl").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl 'http://127.0.0.1")


def test_signed_in_users_keep_their_navigation(visit: Visit) -> None:
    page = visit(PATH)
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_the_public_page_may_be_cached_for_a_minute(server: Server) -> None:
    headers = server.call("GET", PATH).headers
    assert (headers["Cache-Control"], headers["Vary"]) == ("public, max-age=60", "Cookie")


def test_the_page_of_a_signed_in_user_is_not_cached(visit: Visit) -> None:
    headers = visit(PATH).request.get(PATH).headers
    assert headers["cache-control"] == "private, no-store"


def test_the_map_has_the_tables_countries_and_finds_one(visit: Visit) -> None:
    page = visit(PATH, who=None)
    world = page.locator("#counts-map")
    expect(world.locator("path[data-level]")).to_have_count(11)
    expect(world.locator("#US")).to_have_attribute("data-level", "5")
    world.locator("#DE").click()
    expect(page.locator("#counts tbody tr")).to_have_count(1)
    expect(page.get_by_role("searchbox", name="Country")).to_have_value("Germany")


def test_without_javascript_the_counts_of_a_type_are_a_table(visit: Visit) -> None:
    page = visit(PATH, who=None, is_scripted=False)
    rows = page.get_by_role("table", name="By country").locator("tbody tr")
    expect(rows.first).to_contain_text("United States")
    page.get_by_text("Static servers").click()
    page.get_by_role("button", name="Show").click()
    expect(rows.filter(has_text="Netherlands")).to_be_visible()
    assert "type=server-static" in page.url
