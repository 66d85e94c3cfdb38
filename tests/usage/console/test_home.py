"""The first page of the staff console."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client as Browser
from django.test import override_settings
from django.utils import timezone
from django.utils.html import strip_tags

from accounts.models import Order, User
from analytics import journal
from analytics.models import Batch, Group
from fonproxy.clickhouse.client import Client
from geo.models import CountSnapshot
from tests.analytics.helpers import documented_row, engine_away, push
from usage.alerts import services as alerts
from usage.models import Alert, Delivery, Firing

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root"))
    return browser


def facts(browser: Browser) -> dict[str, str]:
    """What the page says, by the name of what it is about."""
    answer = browser.get("/admin/")
    assert answer.status_code == 200
    found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", answer.content.decode(), re.DOTALL)
    return {strip_tags(name): " ".join(strip_tags(told).split()) for name, told in found}


def push_today(client: Any, user: User, order_id: int, count: int, size: int) -> None:
    ts = f"{timezone.now():%Y-%m-%d %H:%M:%S}"
    row = {"ts": ts, "user_id": user.pk, "order_id": order_id, "count": count, "bytes_sent": size, "bytes_received": 0}
    assert push(client, [documented_row(**row)]).status_code == 204


def test_an_idle_system_is_good(clean_engine: Client, browser: Browser) -> None:
    told = facts(browser)
    assert told["Stores"] == "all answer good"
    assert told["Journal"] == "empty good"
    assert told["Refused groups"] == "none good"
    assert told["Deliveries"] == "0 failing, 0 given up good"
    assert told["Rows taken in"] == "0 a minute, over five minutes"
    assert told["Requests"] == "0"
    assert told["Unattributed rows"] == "0 good"


def test_the_days_numbers_are_of_today_and_of_everybody(
    clean_engine: Client,
    browser: Browser,
    client_for: Any,
    worker: User,
    alice: User,
    bob: User,
    make_order: Callable[..., Order],
) -> None:
    worker_client = client_for(worker, "ingest")
    push_today(worker_client, alice, make_order(alice).pk, 7, 3 * 2**30)
    push_today(worker_client, bob, make_order(bob).pk, 5, 2**29)
    push_today(worker_client, bob, 777, 1, 0)
    yesterday = f"{timezone.now() - timedelta(days=1):%Y-%m-%d %H:%M:%S}"
    push(worker_client, [documented_row(ts=yesterday, user_id=alice.pk, count=100)])
    told = facts(browser)
    assert told["Requests"] == "13"
    assert told["Traffic"] == "3.50 GB"
    assert told["Customers with traffic"] == "2"
    assert told["Unattributed rows"] == "1 look into it"
    assert told["Rows taken in"] == "1 a minute, over five minutes"  # four in five


@pytest.mark.parametrize(("age", "word"), [(5, "good"), (60, "look into it"), (600, "bad")])
def test_a_journal_that_waits_shows_by_its_age(engine: Client, browser: Browser, age: int, word: str) -> None:
    Batch.objects.create(
        route="traffic", rows=1200, size=1, touched=[], created_at=timezone.now() - timedelta(seconds=age),
        claimed_until=timezone.now(),
    )  # fmt: skip
    assert facts(browser)["Journal"].startswith("1,200 rows wait, the oldest for ")
    assert facts(browser)["Journal"].endswith(word)


def test_rows_that_were_voided_or_taken_earlier_are_not_of_these_minutes(engine: Client) -> None:
    now = timezone.now()
    for taken, settled, is_void in ((1, None, False), (1, 0, False), (1, 0, True), (9, 8, False), (9, 1, False)):
        Batch.objects.create(
            route="traffic", rows=10, size=1, touched=[], claimed_until=now, is_void=is_void,
            created_at=now - timedelta(minutes=taken),
            settled_at=None if settled is None else now - timedelta(minutes=settled),
        )  # fmt: skip
    assert journal.rows_taken(now - timedelta(minutes=5)) == 20


def test_what_is_refused_stale_or_undelivered_is_told(
    engine: Client, browser: Browser, alice: User, make_order: Callable[..., Order]
) -> None:
    now = timezone.now()
    Group.objects.create(created_at=now, claimed_until=now, attempts=3, last_error="no")
    CountSnapshot.objects.create(proxy_type="mobile-giga", loaded_at=now - timedelta(hours=1))
    order = make_order(alice, limit=100)
    alert = alerts.create(order, 50, Alert.Method.EMAIL, now=now)
    firing = Firing.objects.create(
        alert=alert, arming=1, threshold_percent=50, used_bytes=60, limit_bytes=100, fired_at=now,
        runs_out_at=now + timedelta(days=1),
    )  # fmt: skip
    Delivery.objects.create(firing=firing, target="a", attempts=2, next_attempt_at=now)
    told = facts(browser)
    assert told["Refused groups"] == "1 bad"
    assert told["Loaders"] == "stale: mobile-giga look into it"
    assert told["Deliveries"] == "1 failing, 0 given up look into it"
    assert told["Alerts fired"] == "1"
    assert told["Orders that end or run out within three days"] == "1"


def test_a_job_that_stands_still_is_bad(engine: Client, browser: Browser) -> None:
    assert facts(browser)["Jobs"].startswith("not ended yet: replay-journal")
    for name in ("replay-journal", "refresh-geo-counts", "keep-accounts", "evaluate-alerts", "send-alerts",
                 "forget-settled-batches"):  # fmt: skip
        cache.set(f"job-ended:{name}", timezone.now().timestamp() - 20)
    assert re.fullmatch(r"on time, the slowest 2\d seconds ago good", facts(browser)["Jobs"])
    cache.set("job-ended:keep-accounts", timezone.now().timestamp() - 400)
    assert facts(browser)["Jobs"] == "stand still: keep-accounts (6 minutes) bad"


def test_every_fact_leads_to_a_page(clean_engine: Client, browser: Browser) -> None:
    links = re.findall(r'<dt><a href="(.*?)">', browser.get("/admin/").content.decode())
    assert len(links) == 11
    for link in links:
        answer = browser.get(link.replace("&amp;", "&"))
        assert answer.status_code == 200, link  # a filter that is not understood leads elsewhere


def test_an_engine_that_is_away_shows_as_such(clean_engine: Client, browser: Browser) -> None:
    with engine_away():
        told = facts(browser)
    assert told["Stores"] == "clickhouse: no answer away"
    for name in ("Requests", "Traffic", "Customers with traffic", "Unattributed rows"):
        assert told[name] == "The store behind this does not answer. away"
    assert told["Journal"] == "empty good"
    assert facts(browser)["Requests"] == "0"


def test_a_cache_that_is_away_shows_as_such(clean_engine: Client, browser: Browser) -> None:
    nowhere = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(CACHES={"default": nowhere}):
        told = facts(browser)
    assert told["Stores"] == "cache: no answer away"
    assert told["Jobs"] == "The store behind this does not answer. away"


def test_whoever_may_see_nothing_is_told_no_numbers(clean_engine: Client, staff: User) -> None:
    browser = Browser()
    browser.force_login(staff)
    assert facts(browser).keys() == {"Stores", "Jobs"}


def test_the_page_asks_as_many_questions_however_much_there_is(
    engine: Client,
    browser: Browser,
    alice: User,
    make_order: Callable[..., Order],
    django_assert_max_num_queries: Any,
) -> None:
    for _ in range(20):
        make_order(alice, limit=100)
    with django_assert_max_num_queries(20):
        browser.get("/admin/")
