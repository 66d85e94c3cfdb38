"""Exploring: ranges, zones, zoom, paging, the shown data as a file, and the API call behind it."""

from __future__ import annotations

import csv
import re
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from django.utils.formats import date_format
from playwright.sync_api import Page, Route, ViewportSize, expect

from fonproxy.units import amount, localised
from tests.pages.conftest import DESKTOP, PHONE, Visit
from tests.serving import Server, row


def query(page: Page) -> dict[str, str]:
    return {name: found[0] for name, found in parse_qs(urlsplit(page.url).query).items()}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_url_holds_the_range_and_the_back_button_restores_it(visit: Visit, size: ViewportSize) -> None:
    page = visit("/dashboard/explore", size=size)
    with page.expect_response("**/analytics/traffic?*") as week:
        page.reload()
    page.get_by_text("24 hours").click()
    expect(page.locator("#websites")).to_contain_text(re.compile(r"2[34] total"))  # an hour may have begun since
    assert query(page) == {"range": "24h"}
    page.go_back()
    expect(page.locator("#websites")).to_contain_text("40 total")
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    assert parse_qs(urlsplit(week.value.url).query)["tz"] == ["Europe/Berlin"]


def test_dragging_over_a_chart_zooms_into_the_selected_range(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=7d&tz=UTC")
    over = page.locator("#traffic .u-over")
    box = over.bounding_box()
    assert box
    expect(page.locator("#traffic")).to_have_attribute("aria-busy", "false")
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60, steps=5)
    page.mouse.up()
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    assert query(page).keys() == {"from", "to", "tz"}
    expect(page.locator("#traffic")).to_have_attribute("aria-busy", "false")


def test_websites_are_paged_and_the_visible_page_downloads_as_csv(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=7d")
    websites = page.locator("#websites")
    websites.get_by_role("button", name="Next").click()
    expect(websites).to_contain_text("Page 2 of 2 (40 total)")
    assert query(page)["page"] == "2"
    shown = websites.locator("tbody td:first-child").all_text_contents()
    with page.expect_download() as started:
        websites.get_by_role("link", name="Websites as CSV").click()
    with open(started.value.path(), newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["domain"] for row in rows] == shown
    assert len(shown) == 15


def test_the_copied_call_returns_the_panels_data(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/explore?range=24h&domain=site-07.example")
    expect(page.locator("#websites")).to_contain_text("1 total")
    page.locator("#websites").get_by_role("button", name="Copy as curl").click()
    command = page.evaluate("navigator.clipboard.readText()")
    found = re.fullmatch(r"curl -H 'x-api-key: YOUR_API_KEY' '(http[^']+)'", command)
    assert found
    answer = server.get(found[1].removeprefix(server.url))
    assert [row["domain"] for row in answer.json["data"]] == ["site-07.example"]


def test_a_range_of_more_than_two_months_is_refused_before_any_request(visit: Visit) -> None:
    page = visit("/dashboard/explore")
    page.get_by_text("Custom").click()
    page.get_by_label("From").fill("2026-01-01T00:00")
    page.get_by_label("Until").fill("2026-06-01T00:00")
    page.get_by_label("Until").blur()
    assert (
        page.evaluate("document.getElementById('to').validationMessage")
        == "The range can span at most two months. Choose a shorter one."
    )


def test_a_chart_can_be_read_as_a_table_and_walked_with_keys(visit: Visit) -> None:
    page = visit("/dashboard/explore?range=24h")
    requests = page.locator("#requests")
    requests.get_by_role("img").focus()
    page.keyboard.press("ArrowRight")
    expect(requests.locator(".u-legend")).not_to_contain_text("—")
    requests.get_by_text("Show as table").click()
    expect(requests.locator("details tbody tr").nth(90)).to_be_attached()


def test_the_repeated_hour_is_drawn_and_labelled_as_two(visit: Visit, server: Server) -> None:
    now = datetime.now(UTC)
    year = now.year if now > datetime(now.year, 11, 9, tzinfo=UTC) else now.year - 1
    sunday = next(day for day in range(1, 8) if date(year, 11, day).weekday() == 6)
    midnight = datetime(year, 11, sunday, tzinfo=UTC)  # clocks in New York go back at 06:00
    first, second = (f"{midnight + timedelta(hours=hour, minutes=30):%Y-%m-%d %H:%M:%S}" for hour in (5, 6))
    rows = [row(ts=first, proxy_user="dave", count=3), row(ts=second, proxy_user="dave", count=4)]
    assert server.push(*rows).status == 204
    span = f"from={midnight:%Y-%m-%d}T03:00:00Z&to={midnight:%Y-%m-%d}T09:00:00Z"
    page = visit(f"/dashboard/explore?{span}&interval=15m&tz=America/New_York", who="dave")
    requests = page.locator("#requests")
    requests.get_by_role("img").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(requests.locator(".u-legend")).to_contain_text(re.compile(r"03:(30|45)"))
    requests.get_by_text("Show as table").click()
    told = [line.split("\t")[:2] for line in requests.locator("details tbody tr").all_inner_texts()]
    assert len({time for time, _ in told}) == len(told) >= 23
    assert [line for line in told if line[1] != "0"] == [
        [f"{midnight:%Y-%m-%d} 01:30 -04:00", "3"],
        [f"{midnight:%Y-%m-%d} 01:30 -05:00", "4"],
    ]


@pytest.mark.parametrize(
    ("zone", "first", "labels", "hours"),
    [
        ("Europe/Berlin", "2025-10-26T00:00Z", ["02:00", "02:30", "02:00", "02:30", "03:00"], [0, 0.5, 1, 1.5, 2]),
        ("Europe/Berlin", "2025-10-26T01:00Z", ["02:00", "02:30", "03:00"], [1, 1.5, 2]),
        ("Europe/Berlin", "2025-10-26T22:30Z", ["00:00"], [-2]),
        ("Australia/Lord_Howe", "2025-04-05T14:30Z", ["01:30", "01:30", "02:00"], [14.5, 15, 15.5]),
        ("America/New_York", "2025-03-09T06:30Z", ["01:30", "03:00", "03:30"], [6.5, 7, 7.5]),
    ],
)
def test_points_are_drawn_at_their_instants(
    visit: Visit, zone: str, first: str, labels: list[str], hours: list[float]
) -> None:
    page = visit("/dashboard/explore")
    start = datetime.fromisoformat(first)
    day = f"{start.astimezone(ZoneInfo(zone)):%Y-%m-%d}"
    found = page.evaluate(
        """async ([labels, zone, first]) => {
            const { face, instants } = await import("/static/dashboard/zone.js");
            return instants(labels.map(face), zone, Date.parse(first) / 1000);
        }""",
        [[f"{day} {label}:00" for label in labels], zone, first],
    )
    midnight = start.replace(hour=0, minute=0).timestamp()
    assert [(at - midnight) / 3600 for at in found] == hours


def test_unknown_values_in_the_url_fall_back_to_defaults(visit: Visit) -> None:
    page = visit("/dashboard/explore?tz=Foo/Bar&range=constructor&from=x&to=y")
    expect(page.locator("#websites")).to_contain_text("40 total")
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    page.evaluate("localStorage.setItem('zone', 'Foo/Bar')")
    page.goto("/dashboard/explore?from=-271821-04-20T00:00:00Z&to=2026-01-01")
    expect(page.locator("#websites")).to_contain_text("40 total")
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")


def test_a_preset_chosen_while_scripts_load_is_not_lost(visit: Visit) -> None:
    page = visit("/dashboard/keys")
    held: list[Route] = []
    page.route("**/dashboard/explore.js", lambda route: held.append(route))
    page.goto("/dashboard/explore", wait_until="commit")
    page.get_by_text("24 hours").click()
    while not held:
        page.wait_for_timeout(50)
    held[0].continue_()
    expect(page.locator("#websites")).to_contain_text("total")
    expect(page.get_by_role("radio", name="24 hours")).to_be_checked()
    assert query(page) == {"range": "24h"}


def test_clearing_one_end_of_a_custom_range_marks_it_as_required(visit: Visit) -> None:
    page = visit("/dashboard/explore")
    page.get_by_text("Custom").click()
    page.get_by_label("From").fill("")
    page.get_by_label("From").blur()
    assert page.evaluate("document.getElementById('from').validity.valueMissing")
    expect(page.locator("#websites")).to_contain_text("40 total")


def test_answers_for_another_account_show_a_notice_after_one_reload(visit: Visit) -> None:
    page = visit("/dashboard/explore", failing=True)
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))

    def as_somebody_else(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "x-account": "user_somebody"})

    expect(page.locator("section[aria-busy=true]")).to_have_count(
        0
    )  # otherwise the page's first request is answered so too
    page.route("**/analytics/*", as_somebody_else)
    page.get_by_text("24 hours").click()
    expect(page.locator("#websites")).to_contain_text("You are now signed in to another account. Reload this page.")
    assert len(loads) == 2  # the address with the range, twice


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ("", ["12,345", "12.3K", "1.50 kB", "2026-11-30 14:05"]),
        ("en-us", ["12,345", "12.3K", "1.50 kB", "11/30/2026 14:05"]),
        ("en-gb", ["12,345", "12.3K", "1.50 kB", "30/11/2026 14:05"]),
        ("en-de", ["12.345", "12,3K", "1,50 kB", "30.11.2026 14:05"]),
        ("en-fr", ["12\u202f345", "12,3K", "1,50 kB", "30/11/2026 14:05"]),
        ("en-se", ["12\u00a0345", "12,3K", "1,50 kB", "2026-11-30 14:05"]),
        ("en-ch", ["12\u2019345", "12.3K", "1.50 kB", "30.11.2026 14:05"]),
    ],
)
def test_scripts_and_server_write_numbers_and_dates_as_the_account_says(
    visit: Visit, locale: str, written: list[str]
) -> None:
    page = visit("/dashboard/account", who="carol", locale="ja-JP")
    page.get_by_label("Numbers and dates").select_option(locale)
    page.get_by_role("button", name="Save profile").click()
    expect(page.get_by_text("Profile saved.")).to_be_visible()
    found = page.evaluate(
        """async () => {
            const format = await import("/static/dashboard/format.js");
            const zone = await import("/static/dashboard/zone.js");
            const face = zone.face("2026-11-30 14:05:00");
            return [format.count(12345), format.compact(12345), format.bytes(1536), zone.label(face)];
        }"""
    )
    with translation.override(locale or "en"):
        by_server = [
            localised(12345),
            amount(1536),
            date_format(datetime(2026, 11, 30, 14, 5, tzinfo=UTC), "DATETIME_FORMAT"),
        ]
    assert found == written
    assert by_server == [written[0], *written[2:]]


@pytest.mark.parametrize("locale", ["de-DE", "ja-JP"])
def test_numbers_use_the_language_of_the_page_not_of_the_browser(visit: Visit, locale: str) -> None:
    page = visit("/dashboard/explore", locale=locale)
    shown = page.evaluate(
        """async () => {
            const { pager } = await import("/static/dashboard/table.js");
            const format = await import("/static/dashboard/format.js");
            const place = document.createElement("div");
            pager(place, 1, 3, 12345, () => {});
            return [place.textContent, format.bytes(1536), format.compact(12345), format.country("DE")];
        }"""
    )
    assert shown == ["PreviousPage 1 of 3 (12,345 total)Next", "1.50 kB", "12.3K", "Germany"]


def test_a_printed_page_is_light_and_has_no_controls(visit: Visit) -> None:
    page = visit("/dashboard/explore", theme="dark")
    page.get_by_role("button", name="Switch between light and dark theme").click(click_count=2)  # dark by choice
    page.emulate_media(media="print")
    expect(page.locator("body")).to_have_css("color", "rgb(24, 33, 46)")
    for hidden in (".top", ".filters", "#traffic .tools"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator("#traffic .chart")).to_be_visible()
