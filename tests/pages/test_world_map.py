"""The world maps: shaded by the numbers of the table beside them, and usable with mouse, keyboard, or no JavaScript."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from django.conf import settings
from playwright.sync_api import ViewportSize, expect

from fonproxy.countries import CODES
from tests.pages.conftest import DESKTOP, PHONE, Visit

OUTLINES = settings.BASE_DIR / "fonproxy/static/vendor/world-atlas-2.0.2/world.svg"


def test_every_outline_is_of_a_country_and_none_is_drawn_twice() -> None:
    shapes = ElementTree.parse(OUTLINES).getroot()
    codes = [shape.attrib["id"] for shape in shapes]
    assert len(codes) == len(set(codes)) > 230
    assert set(codes) <= CODES
    assert {"US", "DE", "SG", "HK", "XK"} <= set(codes)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_map_is_shaded_by_traffic_and_a_country_is_a_filter(visit: Visit, size: ViewportSize) -> None:
    page = visit("/dashboard/explore?range=7d", size=size)
    world = page.locator("#countries-map")
    expect(world.locator("#DE")).to_have_attribute("data-level", "5")
    expect(world.locator("#US")).to_have_attribute("data-level", "4")  # half as much
    expect(world.locator("#FR")).not_to_have_attribute("data-level", "1")
    world.locator("#US").hover()
    expect(world.locator("output")).to_contain_text("United States:")
    world.locator("#US").click()
    expect(page.get_by_label("Country", exact=True)).to_have_value("US")
    expect(world.locator("path[data-level='5']")).to_have_attribute("id", "US")
    expect(world.locator("#DE")).not_to_have_attribute("data-level", "5")


def test_arrow_keys_walk_from_the_country_with_most_traffic_and_enter_filters(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=7d")
    world = page.locator("#countries-map")
    picture = world.get_by_role("img", name="World map: Countries; Germany")
    picture.focus()
    page.keyboard.press("ArrowRight")
    expect(world.locator("output")).to_contain_text("Germany:")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(world.locator("output")).to_contain_text("United States:")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Country", exact=True)).to_have_value("US")


def test_the_map_is_empty_where_there_is_no_traffic(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=7d")
    world = page.locator("#countries-map")
    expect(world.locator("#DE")).to_have_attribute("data-level", "5")
    page.get_by_label("Domain").fill("nowhere.example")
    page.get_by_label("Domain").press("Enter")
    expect(page.locator("#countries")).to_contain_text("No traffic in this period.")
    expect(world.locator("#DE")).to_be_visible()
    expect(world.locator("path[data-level]")).to_have_count(0)


def test_a_map_that_cannot_be_loaded_leaves_the_table(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=7d", failing=True)
    page.route("**/world.svg", lambda route: route.abort())
    page.reload()
    expect(page.locator("#countries tbody")).to_contain_text("Germany")
    expect(page.locator("#countries-map")).to_have_count(0)


def test_without_javascript_traffic_by_country_is_a_table(visit: Visit) -> None:
    page = visit("/dashboard/explore", is_scripted=False)
    expect(page.locator("#countries-map")).to_be_hidden()
    page.get_by_text("30 days").click()
    page.get_by_role("button", name="Show traffic by country").click()
    rows = page.get_by_role("table", name="Traffic by country").locator("tbody tr")
    expect(rows.first).to_contain_text("Germany")
    expect(rows.filter(has_text="United States")).to_be_visible()
    assert "range=30d" in page.url
