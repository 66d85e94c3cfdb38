"""The first page of the staff console."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.test import Client as Browser
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts.models import ApiKey, User
from analytics.ingest import journal
from analytics.models import IngestBatch, InsertBlock
from console import silence, status_checks
from fonproxy import job_health
from fonproxy.clickhouse.client import Client
from fonproxy.timerange import floor
from geo.models import CountSnapshot
from orders.models import EventDelivery, Order, ProviderEvent, WebhookEndpoint
from tests.analytics.helpers import documented_row, engine_unavailable, push
from tests.geo.helpers import loaded
from usage.alerts import services as alerts
from usage.models import Alert, Delivery, Firing

pytestmark = pytest.mark.django_db
NO_REDIS = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}


@pytest.fixture(autouse=True)
def _just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that never ran are not late yet, however long this process has run other tests."""
    monkeypatch.setattr(job_health, "_STARTED", monotonic())


def facts(browser: Browser) -> dict[str, str]:
    """The texts of the checks, by name."""
    answer = browser.get("/admin/")
    assert answer.status_code == 200
    found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", answer.content.decode(), re.DOTALL)
    return {strip_tags(name): " ".join(strip_tags(told).split()) for name, told in found}


def push_today(client: Any, user: User, order_id: int, count: int, size: int) -> None:
    ts = f"{timezone.now():%Y-%m-%d %H:%M:%S}"
    row = {"ts": ts, "user_id": user.pk, "order_id": order_id, "count": count, "bytes_sent": size, "bytes_received": 0}
    assert push(client, [documented_row(**row)]).status_code == 204


def test_all_checks_of_an_idle_system_are_good(clean_engine: Client, browser: Browser) -> None:
    told = facts(browser)
    assert told["Stores"] == "all answer good"
    assert told["Journal"] == "empty good"
    assert told["Refused insert blocks"] == "none good"
    assert told["Deliveries"] == told["Webhooks"] == "0 failing, 0 given up good"
    assert told["Rows taken in"] == "0 a minute, over five minutes"
    assert told["Requests"] == "0"
    assert told["Unattributed rows"] == "0 good"


def test_cut_offs_are_hyphenated_in_the_menu(clean_engine: Client, browser: Browser) -> None:
    assert '/admin/orders/cutoff/">Cut-offs</a>' in browser.get("/admin/").content.decode()


def test_the_days_figures_cover_today_and_all_customers(
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


def test_a_single_waiting_row_is_written_in_the_singular(engine: Client, browser: Browser) -> None:
    now = timezone.now()
    IngestBatch.objects.create(
        route="traffic", rows=1, size=1, dirty_days=[], created_at=now - timedelta(seconds=60), claimed_until=now
    )  # fmt: skip
    assert facts(browser)["Journal"].startswith("1 row waits, for ")
    assert "Rows wait for ClickHouse, which is an alert after five minutes." in verdict(browser)


@pytest.mark.parametrize(("age", "word"), [(5, "good"), (60, "look into it"), (600, "bad")])
def test_a_waiting_journal_is_shown_by_its_age(engine: Client, browser: Browser, age: int, word: str) -> None:
    IngestBatch.objects.create(
        route="traffic", rows=1200, size=1, dirty_days=[], created_at=timezone.now() - timedelta(seconds=age),
        claimed_until=timezone.now(),
    )  # fmt: skip
    assert facts(browser)["Journal"].startswith("1,200 rows wait, the oldest for ")
    assert facts(browser)["Journal"].endswith(word)


def test_voided_and_earlier_rows_do_not_count_as_recent(engine: Client) -> None:
    now = timezone.now()
    for taken, settled, is_void in ((1, None, False), (1, 0, False), (1, 0, True), (9, 8, False), (9, 1, False)):
        IngestBatch.objects.create(
            route="traffic", rows=10, size=1, dirty_days=[], claimed_until=now, is_void=is_void,
            created_at=now - timedelta(minutes=taken),
            settled_at=None if settled is None else now - timedelta(minutes=settled),
        )  # fmt: skip
    assert journal.rows_taken(now - timedelta(minutes=5)) == 20


def test_failing_and_disabled_webhooks_are_shown(engine: Client, browser: Browser) -> None:
    now = timezone.now()
    endpoint = WebhookEndpoint.objects.create(url="https://example.com/", sealed_secret="", created_at=now)
    event = ProviderEvent.objects.create(type="order.expired", user_number=1, data={}, occurred_at=now)
    EventDelivery.objects.create(event=event, endpoint=endpoint, attempts=2, next_attempt_at=now)
    assert facts(browser)["Webhooks"] == "1 failing, 0 given up look into it"
    WebhookEndpoint.objects.update(is_enabled=False)  # by staff, who know why
    assert facts(browser)["Webhooks"] == "1 failing, 0 given up look into it"
    WebhookEndpoint.objects.update(disabled_at=now)
    assert facts(browser)["Webhooks"] == "1 failing, 0 given up, 1 disabled bad"


def test_refused_blocks_stale_loaders_and_undelivered_messages_are_shown(
    engine: Client, browser: Browser, alice: User, make_order: Callable[..., Order]
) -> None:
    now = timezone.now()
    InsertBlock.objects.create(created_at=now, claimed_until=now, attempts=3, last_error="no")
    CountSnapshot.objects.create(proxy_type="mobile-giga", loaded_at=now - timedelta(hours=1))
    order = make_order(alice, limit=100)
    alert = alerts.create(order, 50, Alert.Method.EMAIL, now=now)
    firing = Firing.objects.create(
        alert=alert, arming=1, threshold=50, used_bytes=60, limit_bytes=100, fired_at=now,
        runs_out_at=now + timedelta(days=1),
    )  # fmt: skip
    Delivery.objects.create(firing=firing, target="a", attempts=2, next_attempt_at=now)
    told = facts(browser)
    assert told["Refused insert blocks"] == "1 bad"
    assert told["Loaders"] == "stale: mobile-giga look into it"
    assert told["Deliveries"] == "1 failing, 0 given up look into it"
    assert told["Alerts fired"] == "1"
    assert told["Orders that end or run out within three days"] == "1"


def test_a_type_without_a_provider_is_reported_and_not_a_fault(engine: Client, browser: Browser, settings: Any) -> None:
    settings.GEO_DUMMY = False
    loaded()
    assert facts(browser)["Loaders"] == "all 3 fresh; residential-giga: no provider configured good"


def test_a_stuck_job_is_shown_as_bad(engine: Client, browser: Browser) -> None:
    assert facts(browser)["Jobs"].endswith("good")
    for name in job_health.ages():
        cache.set(f"job-ended:{name}", timezone.now().timestamp() - 20)
    assert re.fullmatch(r"on time, the slowest 2\d seconds ago good", facts(browser)["Jobs"])
    cache.set("job-ended:keep-accounts", timezone.now().timestamp() - 400)
    assert facts(browser)["Jobs"] == "stuck: keep-accounts (6 minutes) bad"


def test_a_job_before_its_first_run_is_not_late() -> None:
    assert not any(job_health.stuck(uptime=1).values())
    assert job_health.stuck(uptime=1000)["replay-journal"]


def verdict(browser: Browser) -> str:
    """The text of the verdict."""
    [found] = re.findall(
        r'<section class="console-verdict.*?</section>', browser.get("/admin/").content.decode(), re.DOTALL
    )
    return " ".join(strip_tags(found).split())


def test_an_idle_system_has_the_verdict_all_good(clean_engine: Client, browser: Browser) -> None:
    assert verdict(browser).startswith("All good Checked at ")


def test_the_verdict_names_the_fault_its_start_and_the_remedy(clean_engine: Client, browser: Browser) -> None:
    since = timezone.now() - timedelta(minutes=10)
    IngestBatch.objects.create(
        route="traffic", rows=1200, size=1, dirty_days=[], created_at=since, claimed_until=timezone.now()
    )
    told = verdict(browser)
    assert told.startswith("1 thing is wrong")
    assert f"Journal: 1,200 rows wait, the oldest for 10 minutes bad since {since:%Y-%m-%d %H:%M} UTC" in told
    assert "Rows wait for ClickHouse, which is an alert after five minutes. Is ClickHouse up (/readyz)?" in told


def test_the_verdict_names_a_store_that_does_not_answer_once(clean_engine: Client, browser: Browser) -> None:
    with engine_unavailable():
        told = verdict(browser)
    assert "clickhouse: no answer" in told
    assert "Requests" not in told


@pytest.fixture
def report_last_week(
    clean_engine: Client, worker: User, alice: User, make_order: Callable[..., Order], client_for: Callable[..., Any]
) -> Callable[[int], datetime]:
    """Pushes so many rows of this hour of last week, and of the next one, which may begin during the test.

    The key is older than that. Returns now.
    """

    def report(number: int) -> datetime:
        now = timezone.now()
        order_id = make_order(alice).pk
        hour = floor(now - timedelta(days=7), timedelta(hours=1))
        times = [f"{hour + timedelta(minutes=n % 120):%Y-%m-%d %H:%M:%S}" for n in range(2 * number)]
        rows = [documented_row(ts=ts, user_id=alice.pk, order_id=order_id) for ts in times]
        assert push(client_for(worker, "ingest"), rows).status_code == 204
        ApiKey.objects.update(created_at=now - timedelta(days=8), last_access_at=now)
        cache.clear()
        return now

    return report


@pytest.fixture
def rows_last_week(report_last_week: Callable[[int], datetime]) -> datetime:
    return report_last_week(600)


@contextmanager
def _nothing_taken_in(ago: datetime) -> Iterator[None]:
    taken(timezone.now(), timezone.now() - ago, rows=300)
    yield


@contextmanager
def _journal_stuck(ago: datetime) -> Iterator[None]:
    IngestBatch.objects.create(route="log", rows=7, size=1, dirty_days=[], created_at=ago, claimed_until=ago)
    yield


@contextmanager
def _block_refused(ago: datetime) -> Iterator[None]:
    InsertBlock.objects.create(created_at=ago, claimed_until=ago, attempts=1, last_error="Memory limit exceeded")
    yield


@contextmanager
def _jobs_still(ago: datetime) -> Iterator[None]:
    for name in job_health.ages():
        cache.set(f"job-ended:{name}", ago.timestamp())
    yield


@contextmanager
def _cache_unavailable(ago: datetime) -> Iterator[None]:
    with override_settings(CACHES={"default": NO_REDIS}):
        yield


@contextmanager
def _engine_unavailable(ago: datetime) -> Iterator[None]:
    with engine_unavailable():
        yield


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (_engine_unavailable, "Stores: clickhouse: no answer"),
        (_cache_unavailable, "Stores: cache: no answer"),
        (_journal_stuck, "Journal: 7 rows wait, the oldest for "),
        (_block_refused, "Refused insert blocks: 1 bad since "),
        (_nothing_taken_in, "Rows taken in: 60 a minute; 60 in this hour of last week look into it since "),
        (_jobs_still, "Jobs: none ended for "),
    ],
)
def test_the_verdict_names_each_fault_within_a_minute(
    fault: Callable[[datetime], AbstractContextManager[None]],
    named: str,
    report_last_week: Callable[[int], datetime],
    browser: Browser,
) -> None:
    report_last_week(3600)
    taken(timezone.now(), timedelta(), rows=300)
    assert verdict(browser).startswith("All good")
    with fault(timezone.now() - timedelta(minutes=1)):
        told = verdict(browser)
    assert not told.startswith("All good")
    assert named in told


def test_every_check_has_its_advice_in_the_runbook(clean_engine: Client) -> None:
    root = User.objects.create_superuser("root")
    [system, _] = status_checks.panels(root, timezone.now())
    assert [check.name for check in system.facts if check.advice is None] == []


def taken(now: datetime, ago: timedelta, rows: int) -> None:
    IngestBatch.objects.all().delete()
    IngestBatch.objects.create(
        route="traffic", rows=rows, size=1, dirty_days=[], created_at=now - ago, claimed_until=now, settled_at=now
    )


@pytest.mark.parametrize(
    ("seconds", "rows", "level"),
    [(10, 50, "good"), (10, 24, "warn"), (10, 4, "bad"), (60 * 4, 50, "good"), (60 * 5 + 10, 50, "bad")],
)
def test_silence_is_detected_against_the_same_hour_of_last_week(
    rows_last_week: datetime, seconds: int, rows: int, level: str
) -> None:
    now = rows_last_week
    taken(now, timedelta(seconds=seconds), rows)
    flow = silence.flow(now, with_last_week=True)
    assert flow.expected == 10
    assert status_checks._rate(now, has_engine=True).level is status_checks.Level[level.upper()]


def test_a_minute_of_silence_counts_where_many_rows_are_expected() -> None:
    now = timezone.now()
    busy = silence.Flow(rate=1000, expected=1000, last_at=now - timedelta(seconds=70))
    assert busy.is_silent(now)
    assert not busy.is_low()
    assert not silence.Flow(rate=1, expected=1, last_at=now - timedelta(seconds=70)).is_silent(now)


def test_fresh_installations_and_the_demo_expect_nothing(rows_last_week: datetime) -> None:
    IngestBatch.objects.all().delete()
    ApiKey.objects.update(created_at=rows_last_week)
    assert silence.flow(rows_last_week, with_last_week=True).expected == 0
    ApiKey.objects.update(created_at=rows_last_week - timedelta(days=8), last_access_at=None)
    assert silence.flow(rows_last_week, with_last_week=True).expected == 0


def test_a_gateway_that_stopped_reporting_is_named(
    clean_engine: Client, browser: Browser, worker: User, alice: User, make_order: Callable[..., Order],
    client_for: Callable[..., Any],
) -> None:  # fmt: skip
    now = timezone.now()
    order_id = make_order(alice).pk
    rows = [
        documented_row(ts=f"{now - ago:%Y-%m-%d %H:%M:%S}", user_id=alice.pk, order_id=order_id, worker=name)
        for name, ago in (("de-1", timedelta()), ("de-7", timedelta(minutes=12)))
    ]
    assert push(client_for(worker, "ingest"), rows).status_code == 204
    assert facts(browser)["Gateways"].startswith("2, the newest row ")
    ApiKey.objects.update(created_at=now - timedelta(days=8), last_access_at=now)
    assert re.fullmatch(r"silent: de-7 \(1[23] minutes\) look into it", facts(browser)["Gateways"])
    page = browser.get("/admin/gateways/").content.decode()
    assert page.index("de-7") < page.index("de-1")  # the most silent first


def test_the_gateways_page_has_an_empty_state_and_needs_a_permission(
    clean_engine: Client, browser: Browser, helper: User
) -> None:
    assert "No gateway reported anything" in browser.get("/admin/gateways/").content.decode()
    with engine_unavailable():
        assert "ClickHouse is unavailable" in browser.get("/admin/gateways/").content.decode()
    browser.force_login(helper)
    assert browser.get("/admin/gateways/").status_code == 403


def test_the_navigation_is_by_task(browser: Browser) -> None:
    page = browser.get("/admin/orders/order/").content.decode()
    names = [strip_tags(name).strip() for name in re.findall(r"<caption>(.*?)</caption>", page)]
    assert names == ["Customers", "Orders", "Gateways", "Pipeline", "Pool", "Money", "Audit"]
    listed = set(re.findall(r'<th scope="row" id="\S+">\s*<a href="(.*?)"', page))
    lists = {reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry}
    assert lists <= listed


def test_every_check_links_to_a_page(clean_engine: Client, browser: Browser) -> None:
    links = re.findall(r'<dt><a href="(.*?)">', browser.get("/admin/").content.decode())
    assert len(links) == 13
    for link in links:
        answer = browser.get(link.replace("&amp;", "&"))
        assert answer.status_code == 200, link  # a filter that is not understood leads elsewhere


def test_an_unavailable_engine_is_shown(clean_engine: Client, browser: Browser) -> None:
    with engine_unavailable():
        told = facts(browser)
    assert told["Stores"] == "clickhouse: no answer unavailable"
    for name in ("Requests", "Traffic", "Customers with traffic", "Unattributed rows"):
        assert told[name] == "The store for this check does not answer. unavailable"
    assert told["Journal"] == "empty good"
    assert facts(browser)["Requests"] == "0"


def test_an_unavailable_cache_is_shown(clean_engine: Client, browser: Browser) -> None:
    with override_settings(CACHES={"default": NO_REDIS}):
        told = facts(browser)
    assert told["Stores"] == "cache: no answer unavailable"
    assert told["Jobs"] == "The store for this check does not answer. unavailable"


def test_staff_without_permissions_see_no_numbers(clean_engine: Client, helper: User) -> None:
    browser = Browser()
    browser.force_login(helper)
    assert facts(browser).keys() == {"Stores", "Jobs"}


def test_the_page_takes_a_constant_number_of_queries(
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
