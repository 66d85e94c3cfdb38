"""From a ledger line to its traffic, and back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from rest_framework.test import APIClient

from accounts.models import User
from analytics.models import IngestBatch
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import Client
from orders.models import LedgerEntry, Order
from tests.analytics.helpers import documented_row, engine_unavailable, push
from usage.tasks import keep_accounts

pytestmark = pytest.mark.django_db
MakeOrder = Callable[..., Order]
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)


@pytest.fixture
def order(
    clean_engine: Client,
    alice: User,
    bob: User,
    worker: User,
    make_order: MakeOrder,
    client_for: Callable[..., APIClient],
) -> Order:
    """Traffic of two logins at two hours of a day, of the next day, and of another customer."""
    order = make_order(alice, name="Winter pack", limit=2**40, logins=("one", "two"))
    make_order(bob, logins=("bobs",))
    rows = [
        documented_row(ts=f"{DAY + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}", domain=domain, proxy_user=login,
                       count=count, error_count=0, bytes_sent=size, bytes_received=0, country="DE")
        for hour, login, domain, count, size in (
            (3, "one", "a.example", 5, 2**30),
            (3, "two", "b.example", 7, 2**20),
            (14, "one", "a.example", 1, 2**10),
            (24, "one", "tomorrow.example", 1, 1),
            (3, "bobs", "bobs.example", 1, 1),
        )
    ]  # fmt: skip
    for row in rows:
        del row["user_id"], row["order_id"]
    assert push(client_for(worker, "ingest"), rows).status_code == 204
    keep_accounts()
    return order


def url(order: Order, query: str = "") -> str:
    return f"/admin/evidence/{order.pk}/{DAY:%Y-%m-%d}/{query}"


def section(browser: Browser, address: str, name: str) -> str:
    page = browser.get(address).content.decode()
    [found] = re.findall(rf'<section aria-labelledby="{name}">.*?</section>', page, re.DOTALL)
    return " ".join(re.sub("<[^>]*>", " ", found).split())


def test_a_day_is_broken_down_by_hour_login_and_domain(browser: Browser, order: Order) -> None:
    page = " ".join(re.sub("<[^>]*>", " ", browser.get(url(order)).content.decode()).split())
    assert "In the ledger 1.00 GB, 13 requests" in page or "In the ledger 1 GB, 13 requests" in page
    assert "Difference none" in page
    assert "03:00 1 GB 12 0" in section(browser, url(order), "hours")
    assert "14:00 1 kB 1 0" not in section(browser, url(order), "logins")
    assert "two 1 MB 7 0" in section(browser, url(order), "logins")
    domains = section(browser, url(order), "domains")
    assert "a.example one 1 GB 6 0 03:00 14:00 b.example two 1 MB 7 0" in domains
    assert "tomorrow" not in domains
    assert "bobs" not in domains


def test_an_hour_and_a_login_narrow_it_down(browser: Browser, order: Order) -> None:
    two = order.proxy_users.get(login="two").pk
    assert "a.example" not in section(browser, url(order, f"?login={two}"), "domains")
    assert f'"?hour=3&amp;login={two}"' in browser.get(url(order, f"?login={two}")).content.decode()
    assert "b.example" not in section(browser, url(order, "?hour=14"), "domains")
    assert "a.example one 1,024 bytes" in section(browser, url(order, "?hour=14"), "domains") or "1 kB" in section(
        browser, url(order, "?hour=14"), "domains"
    )


def test_batches_and_their_day_link_to_each_other(browser: Browser, order: Order) -> None:
    batch = IngestBatch.objects.get()
    assert f"{batch.pk} " in section(browser, url(order, "?batches=1"), "batches")
    assert url(order) in browser.get(f"/admin/analytics/ingestbatch/{batch.pk}/change/").content.decode()
    other = f"/admin/evidence/{order.pk}/{DAY - timedelta(days=5):%Y-%m-%d}/"
    assert "None: batches are kept for a day" in section(browser, f"{other}?batches=1", "batches")


def test_the_ledger_and_the_customers_page_link_to_the_day(browser: Browser, order: Order) -> None:
    assert url(order) in browser.get("/admin/orders/ledgerentry/").content.decode()
    assert url(order) in browser.get(f"/admin/customers/{order.user_id}/").content.decode()


def test_the_csv_sums_to_the_ledger_line_and_the_download_is_logged(browser: Browser, order: Order) -> None:
    rows = list(csv.DictReader(io.StringIO(browser.get(url(order, "?format=csv")).getvalue().decode("utf-8-sig"))))
    recorded, measured, *traffic = rows
    assert (recorded["kind"], measured["kind"]) == ("ledger", "measured")
    total = sum(int(row["bytes"]) for row in traffic)
    assert total == int(recorded["bytes"]) == int(measured["bytes"]) == 2**30 + 2**20 + 2**10
    assert sum(int(row["requests"]) for row in traffic) == int(recorded["requests"]) == 13
    assert [(row["hour"], row["login"], row["domain"], row["country"]) for row in traffic] == [
        ("03:00", "one", "a.example", "DE"),
        ("03:00", "two", "b.example", "DE"),
        ("14:00", "one", "a.example", "DE"),
    ]
    assert "Exported the evidence of" in LogEntry.objects.get().change_message


def test_a_line_that_differs_from_the_traffic_is_marked(browser: Browser, order: Order) -> None:
    LedgerEntry.objects.filter(order=order, usage_day=DAY.date()).update(bytes=-5)
    assert "they differ" in browser.get(url(order)).content.decode()


def test_a_day_without_traffic_says_so(browser: Browser, order: Order) -> None:
    empty = f"/admin/evidence/{order.pk}/2020-01-01/"
    assert "No traffic on this day." in section(browser, empty, "hours")
    assert "no longer kept" in section(browser, empty, "logins")
    assert browser.get(f"{empty}?format=csv").status_code == 200


@pytest.mark.parametrize(("hours", "kept"), [(36, ["14:00"]), (240, [])])
def test_traffic_past_its_retention_is_not_shown_even_while_the_engine_holds_it(
    browser: Browser, order: Order, monkeypatch: pytest.MonkeyPatch, hours: int, kept: list[str]
) -> None:
    short = retention.Retention("bucket", timedelta(minutes=5), days=1)
    tables = retention.declared() | {"traffic": short}
    monkeypatch.setattr(retention, "declared", lambda: tables)
    with time_machine.travel(DAY + timedelta(hours=hours), tick=False):
        browser.force_login(User.objects.get(username="root"))
        logins, domains = (section(browser, url(order), name) for name in ("logins", "domains"))
        answer = browser.get(url(order, "?format=csv")).getvalue().decode("utf-8-sig")
    assert "two" not in logins
    assert ("kept for the end of this day only" in logins, "no longer kept" in logins) == (bool(kept), not kept)
    assert "b.example" not in domains
    assert ("a.example" in domains) == bool(kept)
    rows = csv.DictReader(io.StringIO(answer))
    assert [row["hour"] for row in rows if row["kind"] == "traffic"] == kept


@pytest.mark.parametrize("day", ["2026-13-01", "yesterday", "0001-01-01", "9999-12-31", "20261130x"])
def test_an_invalid_day_is_not_found(browser: Browser, order: Order, day: str) -> None:
    assert browser.get(f"/admin/evidence/{order.pk}/{day}/").status_code == 404


@pytest.mark.parametrize("query", ["?hour=24", "?hour=x", "?login=-1", f"?login={10**30}", "?hour=3&hour=4"])
def test_meaningless_parameters_are_ignored(browser: Browser, order: Order, query: str) -> None:
    assert browser.get(url(order, query)).status_code == 200


def test_the_page_works_while_clickhouse_does_not_and_needs_permissions(
    browser: Browser, order: Order, helper: User
) -> None:
    with engine_unavailable():
        for query in ("", "?format=csv"):
            answer = browser.get(url(order, query))
            assert "ClickHouse is unavailable" in answer.content.decode()
    browser.force_login(helper)
    assert browser.get(url(order)).status_code == 403


def test_the_largest_requests_of_the_log_are_shown(
    browser: Browser, order: Order, worker: User, client_for: Callable[..., APIClient]
) -> None:
    assert "None in the log" in section(browser, url(order), "requests")
    logs = [
        {
            "log_request_datetime": f"{DAY + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}",
            "proxy_user_id": login,
            "log_method": "GET",
            "log_hostname": host,
            "log_status_code": 200,
            "log_bytes_sent": size,
        }
        for hour, login, host, size in (
            (5, "one", "small.example", 2**10),
            (6, "one", "large.example", 2**20),
            (6, "two", "other.example", 1),
            (24, "one", "tomorrow.example", 1),
            (6, "bobs", "bobs.example", 1),
        )
    ]
    answer = client_for(worker, "ingest").post("/log/ingest", {"logs": logs}, format="json")
    assert answer.status_code == 204, answer.content
    told = section(browser, url(order), "requests")
    assert "06:00:00 one GET large.example 200 1 MB 05:00:00 one GET small.example 200" in told
    assert "other.example" in told
    assert "tomorrow" not in told
    assert "bobs" not in told
    one = order.proxy_users.get(login="one").pk
    assert "other.example" not in section(browser, url(order, f"?login={one}"), "requests")
    assert "small.example" not in section(browser, url(order, "?hour=6"), "requests")
