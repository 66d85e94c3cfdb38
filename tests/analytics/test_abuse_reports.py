"""Abuse reports in the console: pasted, answered, exported, and each view recorded."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from rest_framework.test import APIClient

from accounts.models import User
from analytics.models import AbuseReport
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.profiles import HEAVY, Profile
from orders.models import Order
from tests.analytics.helpers import documented_row, engine_unavailable, push, recently

pytestmark = pytest.mark.django_db
REPORTS = "/admin/analytics/abusereport/"
AT = recently()
TOKYO = ZoneInfo("Asia/Tokyo")  # whose clock never repeats an hour


@pytest.fixture
def order(
    clean_engine: Client,
    alice: User,
    bob: User,
    worker: User,
    make_order: Callable[..., Order],
    client_for: Callable[..., APIClient],
) -> Order:
    """Uses of two exit addresses at once and of one a day before, and of an address of IPv6."""
    order, other = make_order(alice, logins=("alice-1",)), make_order(bob)

    def row(whose: Order, ip_out: str, hours: float = 0, **more: Any) -> dict[str, Any]:
        ts = f"{AT - timedelta(hours=hours):%Y-%m-%d %H:%M:%S}"
        return documented_row(
            ts=ts, user_id=whose.user_id, order_id=whose.pk, ip_out=ip_out, ip_from="203.0.113.9", count=1, **more
        )

    rows = [
        row(order, "192.0.2.7", domain="victim.example"),
        row(other, "192.0.2.8", domain="other.example"),
        row(other, "192.0.2.7", hours=24, domain="yesterday.example"),
        row(other, "2001:db8::7", domain="six.example"),
        row(other, "198.51.100.1", domain="elsewhere.example"),
    ]
    assert push(client_for(worker, "ingest"), rows).status_code == 204
    return order


def paste(browser: Browser, text: str, **more: str) -> str:
    given = {"reference": "case 12", "text": text, "time_zone": "UTC", "margin": "0", "since": "", "until": ""}
    answer = browser.post(f"{REPORTS}add/", given | more, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def evidence(browser: Browser) -> list[dict[str, str]]:
    report = AbuseReport.objects.latest("pk")
    answer = browser.get(f"{REPORTS}{report.pk}/csv/").getvalue()
    assert answer.startswith("\ufeff".encode())  # Excel recognizes the encoding by it
    return list(csv.DictReader(io.StringIO(answer.decode("utf-8-sig"))))


def test_a_pasted_report_says_who_used_each_address_then(browser: Browser, order: Order) -> None:
    page = paste(browser, f"Dear abuse team,\n192[.]0[.]2[.]7 attacked us at {AT:%Y-%m-%d %H:%M:%S} UTC.\n")
    for expected in (f"/admin/customers/{order.user_id}/", "alice-1", "203.0.113.9", "victim.example"):
        assert expected in page
    for other in ("other.example", "yesterday.example", "elsewhere.example"):
        assert other not in page


def test_times_without_a_zone_are_in_the_chosen_zone(browser: Browser, order: Order) -> None:
    line = f"192.0.2.7 {AT.astimezone(TOKYO):%Y-%m-%d %H:%M:%S}"
    assert "victim.example" in paste(browser, line, time_zone="Asia/Tokyo")
    assert "Nobody used these addresses then" in paste(browser, line, time_zone="UTC")


def test_a_network_can_be_looked_up_over_a_period(browser: Browser, order: Order) -> None:
    local = "%Y-%m-%dT%H:%M"
    period = {
        "since": (AT - timedelta(hours=1)).astimezone(TOKYO).strftime(local),
        "until": (AT + timedelta(minutes=1)).astimezone(TOKYO).strftime(local),
    }
    page = paste(browser, "192.0.2.0/24\n2001:db8::/64", time_zone="Asia/Tokyo", **period)
    assert all(expected in page for expected in ("victim.example", "other.example", "six.example"))
    assert "yesterday.example" not in page
    assert "elsewhere.example" not in page


def test_a_single_address_and_time_can_be_looked_up_without_a_report(browser: Browser, order: Order) -> None:
    local = (AT + timedelta(minutes=20)).astimezone(TOKYO).strftime("%Y-%m-%dT%H:%M")
    given = {"since": local, "time_zone": "Asia/Tokyo"}
    assert "victim.example" in paste(browser, "192.0.2.7", margin="60", **given)
    assert "Nobody used these addresses then" in paste(browser, "192.0.2.7", **given)


def test_the_times_of_a_report_are_shown_in_its_zone(browser: Browser, order: Order) -> None:
    local = AT.astimezone(TOKYO)
    page = paste(browser, "192.0.2.7", since=f"{local:%Y-%m-%dT%H:%M}", time_zone="Asia/Tokyo")
    assert f'<div class="readonly">{local:%Y-%m-%d %H:%M}</div>' in page


def test_a_domain_narrows_the_answer(browser: Browser, order: Order) -> None:
    page = paste(browser, f"192.0.2.0/24 {AT:%Y-%m-%d %H:%M}Z", domain="Victim.example")
    assert "victim.example" in page
    assert "other.example" not in page
    assert "Nobody used these addresses then" in paste(browser, f"192.0.2.7 {AT:%Y-%m-%d %H:%M}Z", domain="a.example")


def test_traffic_of_an_unknown_customer_is_shown_by_its_number(
    browser: Browser, clean_engine: Client, worker: User, client_for: Callable[..., APIClient]
) -> None:
    push(client_for(worker, "ingest"), [documented_row(ip_out="2001:db8::7", user_id=888)])
    assert "888 (unknown)" in paste(browser, f"2001:db8::7 {recently():%Y-%m-%d %H:%M:%S}Z")


def test_the_evidence_lists_every_lookup_including_unused_addresses(browser: Browser, order: Order) -> None:
    paste(browser, f"exit,at\n192.0.2.7,{AT:%Y-%m-%d %H:%M}Z\n192.0.2.99,{AT:%Y-%m-%d %H:%M}Z\n")
    used, unused = evidence(browser)
    assert (used["case"], used["exit_address"], used["user"], used["order"]) == (
        "case 12", "192.0.2.7", "alice", order.published_id,
    )  # fmt: skip
    assert (used["login"], used["client"], used["requests"]) == ("alice-1", "203.0.113.9", "1")
    assert used["first"] == AT.isoformat()
    assert (unused["asked"], unused["exit_address"], unused["user"]) == ("192.0.2.99", "nobody", "")


def test_addresses_beyond_one_query_are_all_answered(browser: Browser, order: Order) -> None:
    lines = [f"192.0.2.{n} {AT:%Y-%m-%d %H:%M}Z" for n in range(45)]
    paste(browser, "\n".join(lines))
    rows = evidence(browser)
    assert len(rows) == 45
    assert {row["asked"]: row["user"] for row in rows if row["user"]} == {"192.0.2.7": "alice", "192.0.2.8": "bob"}


def test_every_lookup_and_export_is_in_the_audit_log(browser: Browser, order: Order) -> None:
    paste(browser, f"192.0.2.7 {AT:%Y-%m-%d %H:%M}")
    report = AbuseReport.objects.get()
    assert report.author is not None
    assert report.author.username == "root"
    browser.get(f"{REPORTS}{report.pk}/csv/")
    said = LogEntry.objects.filter(object_id=str(report.pk)).order_by("pk").values_list("change_message", flat=True)
    assert [message.split()[0] for message in said] == ["Added", "Looked", "Looked"]


def test_a_report_is_closed_with_its_outcome_and_stays_as_it_was(browser: Browser, order: Order) -> None:
    paste(browser, f"192.0.2.7 {AT:%Y-%m-%d %H:%M}")
    report = AbuseReport.objects.get()
    text = report.text
    assert "case 12" in browser.get(f"{REPORTS}?state=open").content.decode()
    browser.post(
        f"{REPORTS}{report.pk}/change/", {"outcome": "stopped alice", "text": "x", "reference": "y"}, follow=True
    )
    report.refresh_from_db()
    assert (report.outcome, report.text, report.reference) == ("stopped alice", text, "case 12")
    assert "case 12" not in browser.get(f"{REPORTS}?state=open").content.decode()
    assert browser.post(f"{REPORTS}{report.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        ("hello", {}, "No address was found in the text."),
        ("192.0.2.7", {}, "fill in the time"),
        ("192.0.2.7", {"until": "2026-11-30T12:00"}, "Fill in when it starts."),
        ("192.0.2.7", {"since": "2026-11-30T12:00", "until": "2026-11-30T12:00"}, "Must be after the start."),
        ("192.0.2.7", {"since": "0001-01-01T00:00", "until": "9999-12-31T23:59"}, "Must lie in the years"),
        ("192.0.2.7", {"since": "2026-01-01T00:00", "until": "2026-11-30T12:00"}, "more than 92 days apart"),
        ("10.0.0.0/8 2026-11-30", {}, "may have a /16 at most"),
        ("192.0.2.7 2026-11-30 \0", {}, "Null characters are not allowed."),
        ("192.0.2.7 2026-11-30", {"time_zone": "Mars/Olympus"}, "Select a valid choice."),
        ("192.0.2.7 2026-11-30", {"margin": "7"}, "Select a valid choice."),
    ],
)
def test_an_unreadable_report_is_refused_with_a_message(
    browser: Browser, clean_engine: Client, text: str, more: dict[str, str], sentence: str
) -> None:
    assert sentence in paste(browser, text, **more)
    assert not AbuseReport.objects.exists()


def test_the_page_says_that_clickhouse_is_unavailable_or_the_report_too_large(
    browser: Browser, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_unavailable():
        assert "ClickHouse is unavailable" in paste(browser, f"192.0.2.7 {AT:%Y-%m-%d %H:%M}")
        report = AbuseReport.objects.get()
        answer = browser.get(f"{REPORTS}{report.pk}/csv/", follow=True)
        assert "ClickHouse is unavailable" in answer.content.decode()
    few_rows = Profile("heavy", (*HEAVY.settings, ("max_rows_to_read", 1)))
    monkeypatch.setattr("analytics.exit_ip_lookup.HEAVY", few_rows)
    assert "split the report" in browser.get(f"{REPORTS}{report.pk}/change/").content.decode()


def test_a_report_whose_queries_take_too_long_together_is_refused(
    browser: Browser, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"192.0.2.{n} {AT:%Y-%m-%d %H:%M}Z" for n in range(45)]
    assert "victim.example" in paste(browser, "\n".join(lines))
    clock = count(step=16)  # seconds between consecutive readings of the clock
    monkeypatch.setattr("analytics.exit_ip_lookup.monotonic", lambda: next(clock))
    report = AbuseReport.objects.get()
    page = browser.get(f"{REPORTS}{report.pk}/change/").content.decode()
    assert "split the report" in page
    assert "victim.example" not in page


def test_reports_need_their_permissions(browser: Browser, order: Order, viewer: User, helper: User) -> None:
    paste(browser, f"192.0.2.7 {AT:%Y-%m-%d %H:%M}")
    report = AbuseReport.objects.get()
    browser.force_login(viewer)
    assert browser.get(f"{REPORTS}add/").status_code == 403
    assert browser.get(f"{REPORTS}{report.pk}/change/").status_code == 200
    browser.force_login(helper)
    for path in ("", "add/", f"{report.pk}/change/", f"{report.pk}/csv/"):
        assert browser.get(f"{REPORTS}{path}").status_code == 403
