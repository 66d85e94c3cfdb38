"""Customers who request reports receive one per week or month, once, and stop them with a link."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.test import Client as Browser
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import Client
from orders.models import Order
from tests.analytics.helpers import engine_unavailable
from usage.models import ReportDelivery, ReportSubscription
from usage.reports import services
from usage.reports.mail import change
from usage.reports.services import ReportSpan, last_ended

DAY = timedelta(days=1)
GB = 2**30
UTC_ZONE = ZoneInfo("UTC")
# The Monday of last week: over, and recent enough that its rows are kept.
MONDAY = (datetime.now(UTC) - timedelta(days=7 + datetime.now(UTC).weekday())).replace(
    hour=0, minute=0, second=0, microsecond=0
)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, limit=None, name="Residential", started_at=MONDAY - 30 * DAY, now=MONDAY - 30 * DAY)


def carry(order: Order, at: datetime, size: int, **fields: Any) -> None:
    row = {
        "ts": f"{at:%Y-%m-%d %H:%M:%S}",
        "user_id": order.user_id,
        "order_id": order.pk,
        "count": 10,
        "bytes_received": size,
        "domain": "example.com",
        **fields,
    }
    body = msgspec.json.encode({"logs": [row]})
    now = timezone.now()
    ingest_service.accept(body, to_inbox, account_id=order.user_id, route=IngestBatch.Route.TRAFFIC, key=None, now=now)


def send() -> list[bool]:
    return [services.attempt(row.pk) for row in ReportDelivery.objects.order_by("pk")]


def test_a_weekly_report_compares_the_week_with_the_one_before(
    order: Order, alice: User, bob: User, make_order: Callable[..., Order], mailoutbox: Any
) -> None:
    services.subscribe(alice, "week", MONDAY - 6 * DAY)
    carry(order, MONDAY - 7 * DAY, 2 * GB, error_count=1)
    carry(order, MONDAY - DAY, GB, domain="other.example")
    carry(order, MONDAY, 50 * GB)  # in the current week
    carry(order, MONDAY - 8 * DAY, 2 * GB)
    carry(make_order(bob, limit=None, started_at=MONDAY - 30 * DAY, now=MONDAY - 30 * DAY), MONDAY - DAY, 99 * GB)
    assert services.plan(MONDAY + timedelta(hours=5)) == 0  # rows may arrive late
    assert [services.plan(MONDAY + timedelta(hours=6)) for _ in range(3)] == [1, 0, 0]
    assert send() == [True]
    assert send() == [False]
    [mail] = mailoutbox
    assert mail.to == [alice.email]
    first, last = (MONDAY - 7 * DAY).date(), (MONDAY - DAY).date()
    assert mail.subject == f"Your traffic from {first} to {last}: 3 GB"
    for text in (mail.body, mail.alternatives[0][0]):
        assert "3 GB" in text
        assert "+50 %" in text
        assert "95.0 %" in text
        assert text.index("example.com") < text.index("other.example")
        assert "99 GB" not in text
    assert "- Residential: 3 GB (+50 %), 20 requests" in mail.body


def test_a_report_writes_numbers_and_dates_as_its_reader(order: Order, alice: User, mailoutbox: Any) -> None:
    User.objects.filter(pk=alice.pk).update(locale="en-de")
    services.subscribe(alice, "week", MONDAY - 6 * DAY)
    carry(order, MONDAY - 8 * DAY, GB)
    carry(order, MONDAY - DAY, 1500 * GB + GB // 2, count=1234567, error_count=1)
    services.plan(MONDAY + DAY)
    assert send() == [True]
    [mail] = mailoutbox
    assert mail.subject == f"Your traffic from {MONDAY - 7 * DAY:%d.%m.%Y} to {MONDAY - DAY:%d.%m.%Y}: 1.500,50 GB"
    for text in (mail.body, mail.alternatives[0][0]):
        assert "1.234.567" in text
        assert "+149.950 %" in text
        assert "100,0 %" in text


def test_a_report_is_sent_again_when_clickhouse_is_back(order: Order, alice: User, mailoutbox: Any) -> None:
    services.subscribe(alice, "week", MONDAY - 6 * DAY)
    services.plan(MONDAY + DAY)
    with engine_unavailable():
        assert send() == [False]
    row = ReportDelivery.objects.get()
    assert row.last_error == "ClickHouse is unavailable."
    ReportDelivery.objects.update(next_attempt_at=timezone.now())
    assert send() == [True]
    assert len(mailoutbox) == 1
    assert "no requests" in mailoutbox[0].body


def test_a_report_to_an_invalid_address_is_abandoned_at_once(order: Order, alice: User, mailoutbox: Any) -> None:
    User.objects.filter(pk=alice.pk).update(email="a@" + "\u00fc" * 60 + ".com")
    services.subscribe(alice, "week", MONDAY - 6 * DAY)
    services.plan(MONDAY + DAY)
    assert send() == [False]
    row = ReportDelivery.objects.get()
    assert (row.attempts, row.state) == (1, "given_up")
    assert row.last_error.startswith("No mail can be sent to the address of the account.")
    assert mailoutbox == []


def test_the_link_ends_reports(order: Order, alice: User, mailoutbox: Any) -> None:
    services.subscribe(alice, "month", MONDAY - 60 * DAY)
    services.plan(MONDAY)
    send()
    path = re.sub(r"^<https?://[^/]*|>$", "", str(mailoutbox[0].extra_headers["List-Unsubscribe"]))
    browser = Browser(enforce_csrf_checks=True)
    assert b"Unsubscribe from reports?" in browser.get(path).content
    assert ReportSubscription.objects.exists()
    assert b"You will not receive reports" in browser.post(path, {"List-Unsubscribe": "One-Click"}).content
    assert not ReportSubscription.objects.exists()
    assert browser.post(path).status_code == 200
    assert browser.get(path[:-1]).status_code == 404
    assert services.plan(MONDAY + 40 * DAY) == 0


def test_reports_are_chosen_on_the_account_page(alice: User) -> None:
    browser = Browser()
    browser.force_login(alice)
    for chosen, kept in (("week", "week"), ("month", "month"), ("year", None), ("week", "week"), ("", None)):
        assert browser.post("/dashboard/account/report", {"every": chosen}).status_code == 302
        found = ReportSubscription.objects.filter(user=alice).values_list("every", flat=True).first()
        assert found == kept
        assert (' value="week" selected' in browser.get("/dashboard/account").content.decode()) == (kept == "week")


def test_no_report_covers_the_time_before_subscribing_or_goes_to_inactive_users(alice: User, bob: User) -> None:
    services.subscribe(alice, "week", MONDAY + timedelta(minutes=1))
    services.subscribe(bob, "week", MONDAY - DAY)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert services.plan(MONDAY + DAY) == 0
    assert services.plan(MONDAY + 8 * DAY) == 1


@pytest.mark.parametrize(
    ("every", "now", "zone", "span"),
    [
        ("week", datetime(2026, 11, 30, 6, tzinfo=UTC), "UTC", ReportSpan(date(2026, 11, 23), date(2026, 11, 30))),
        ("week", datetime(2026, 11, 30, 5, 59, tzinfo=UTC), "UTC", ReportSpan(date(2026, 11, 16), date(2026, 11, 23))),
        ("month", datetime(2026, 3, 1, 6, tzinfo=UTC), "UTC", ReportSpan(date(2026, 2, 1), date(2026, 3, 1))),
        (
            "month",
            datetime(2026, 1, 1, 10, 59, tzinfo=UTC),
            "America/New_York",
            ReportSpan(date(2025, 11, 1), date(2025, 12, 1)),
        ),
        (
            "month",
            datetime(2026, 1, 1, 11, tzinfo=UTC),
            "America/New_York",
            ReportSpan(date(2025, 12, 1), date(2026, 1, 1)),
        ),
    ],
)
def test_the_latest_period_is_the_one_that_ended_on_the_zones_clock(
    every: str, now: datetime, zone: str, span: ReportSpan
) -> None:
    assert last_ended(every, now, ZoneInfo(zone)) == span


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)), st.sampled_from(["week", "month"])
)
def test_periods_follow_each_other_without_a_gap(now: datetime, every: str) -> None:
    span = last_ended(every, now, UTC_ZONE)
    following = last_ended(every, now + (7 if every == "week" else 31) * DAY, UTC_ZONE)
    assert span.end <= (now - services.DELAY).date()
    assert following.first in (span.first, span.end) or following.first > span.end
    assert span.first.weekday() == 0 if every == "week" else span.first.day == span.end.day == 1


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        (0, 0, "unchanged"),
        (5, 0, "new"),
        (5, 5, "unchanged"),
        (150, 100, "+50 %"),
        (0, 100, "\N{MINUS SIGN}100 %"),
        (1001, 1000, "about the same"),
    ],
)
def test_a_change_in_words(now: int, before: int, text: str) -> None:
    assert change(now, before) == text
