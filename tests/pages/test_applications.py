"""An application is created, reports events, and shows them."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.pages.test_accessibility import faults
from tests.serving import Server

CHARTS = ("calls-by-consumer", "calls-by-function", "times-by-function", "times-last-hour", "total-time")
TABLES = ("functions", "consumers", "statuses")


def make(page: Page, name: str) -> list[str]:
    """The new application's app_id, write key and read key, as its creator copies them."""
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create application").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Application “{name}” created")
    return secrets(page)


def secrets(page: Page) -> list[str]:
    """The application's id, its write key and its read key, once they are shown."""
    shown = page.locator("code.secret")
    expect(shown).to_have_count(3)
    return shown.all_text_contents()


def an_event(**changes: object) -> dict[str, object]:
    """An event of half a minute ago."""
    return {
        "timestamp": int(time.time()) - 30,
        "method": "GET",
        "url": "/v1/items",
        "function": "list_items",
        "consumer_id": "web",
        "response_us": 42_000,
        "status_code": 200,
        **changes,
    }


def report(server: Server, app_id: str, key: str, *events: dict[str, object]) -> int:
    """Sends these events, or three of its own; returns the status."""
    three = (an_event(), an_event(), an_event(function="search", status_code=503))
    body = json.dumps(events or three).encode()
    return server.call(
        "POST", "/1/event/", body, X_Auth_User=app_id, X_Auth_Key=key, Content_Type="application/json"
    ).status


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_reported_events_appear_in_the_applications_charts(visit: Visit, server: Server, size: ViewportSize) -> None:
    page = visit("/dashboard/applications", size=size)
    app_id, write, read = make(page, f"Shop {size['width']}")
    page.get_by_role("link", name="I've copied it").click()
    expect(page.locator("#functions")).to_contain_text("No events in this period.")
    assert report(server, app_id, write) == 200
    page.reload()
    for chart in CHARTS:
        expect(page.locator(f"#{chart} canvas")).to_be_visible()
    expect(page.locator("#functions")).to_contain_text("list_items")
    expect(page.locator("#consumers")).to_contain_text("web")
    expect(page.locator("#statuses tbody")).to_contain_text("33.3 %")
    expect(page.locator("#times-by-function .chart")).to_have_attribute("aria-label", re.compile("list_items.* 42 ms"))
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not any(key in page.content() for key in (write, read))

    page.locator("#filters").get_by_text("30 days").click()
    expect(page).to_have_url(re.compile(r"\?range=30d$"))
    expect(page.locator("#times-last-hour")).to_be_hidden()
    page.get_by_label("Response time", exact=True).select_option("percentile_95")
    expect(page.locator("#times-by-function")).to_contain_text("30 days, daily")
    expect(page.locator("#times-by-function .chart")).to_have_attribute("aria-label", re.compile("42 ms"))


def test_the_copied_call_and_the_downloads_match_the_page(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/applications")
    app_id, write, read = make(page, "Files")
    report(server, app_id, write)
    page.goto(f"/dashboard/applications/{app_id}")
    panel = page.locator("#calls-by-function")
    expect(panel.locator("canvas")).to_be_visible()
    panel.get_by_role("button", name="Copy as curl").click()
    call = page.evaluate("navigator.clipboard.readText()").replace("YOUR_READ_KEY", read)
    answer = subprocess.run(["bash", "-c", f"{call} -s"], capture_output=True, text=True, timeout=30, check=True).stdout
    groups = json.loads(answer)["groups"]
    assert {name: points[0][1] for name, points in groups.items()} == {"list_items": 2, "search": 1}
    with page.expect_download() as csv:
        panel.get_by_role("link", name="CSV").click()
    assert csv.value.path().read_text("utf-8-sig").splitlines()[0] == "group,timestamp,value"
    with page.expect_download() as export:
        page.get_by_role("link", name="All events as NDJSON").click()
    assert len(export.value.path().read_text().splitlines()) == 3


def test_exchanged_keys_replace_the_old_ones_at_once_on_request(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/applications")
    app_id, first, _ = make(page, "Leaky")
    path = f"/dashboard/applications/{app_id}"
    page.goto(path)
    page.get_by_role("link", name="Rotate keys").click()
    page.get_by_role("button", name="Rotate keys").click()
    _, second, _ = secrets(page)
    assert [report(server, app_id, key) for key in (first, second)] == [200, 200]
    page.goto(f"{path}/rotate")
    page.get_by_label("Revoke them now").check()
    page.get_by_role("button", name="Rotate keys").click()
    _, third, _ = secrets(page)
    assert [report(server, app_id, key) for key in (first, second, third)] == [401, 401, 200]


def test_an_application_is_visible_to_its_owner_only(visit: Visit) -> None:
    page = visit("/dashboard/applications")
    app_id, *_ = make(page, "Private")
    other = visit(f"/dashboard/applications/{app_id}", who="carol", failing=True)
    expect(other.get_by_role("heading", level=1)).to_have_text("Page not found")


def test_groups_with_any_name_are_listed_by_size(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/applications")
    app_id, write, _ = make(page, "Numbered")
    calls = [
        an_event(consumer_id=str(number), function="constructor") for number in range(1, 22) for _ in range(number)
    ]
    odd = [an_event(consumer_id="__proto__", function=name) for name in ("__proto__", "toString") for _ in range(50)]
    assert report(server, app_id, write, *calls, *odd) == 200
    page.goto(f"/dashboard/applications/{app_id}?range=constructor")
    lines = ["__proto__: max. 100", *(f"{number}: max. {number}" for number in range(21, 16, -1))]
    chart = page.locator("#calls-by-consumer")
    expect(chart.locator(".chart")).to_have_attribute("aria-label", re.compile("; ".join(lines)))
    expect(chart).to_contain_text("Top 6 of 22 by calls. The CSV contains all of them.")
    names = page.locator("#consumers tbody td:first-child")
    expect(names).to_have_text(["__proto__", *(str(number) for number in range(21, 2, -1))])
    expect(page.locator("#consumers")).to_contain_text("Top 20 of 22 by calls.")
    expect(page.locator("#functions tbody td:first-child")).to_have_text(["constructor", "__proto__", "toString"])
