"""The demo's traffic uses the same ingest as a gateway's, and seeding it again adds only missing rows."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise

import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Application
from analytics.models import IngestBatch
from demo import events as demo_events
from demo import live, requests, traffic
from demo.events import HOUR
from fonproxy.clickhouse.client import Client, get_client
from fonproxy.env import Environment
from fonproxy.timerange import DAY, GRAIN, floor
from fonproxy.units import GIB
from orders.models import Order, ProxyUser

NOON = datetime(2026, 11, 12, 12, 7, tzinfo=UTC)
BY_LOGIN = "SELECT proxy_user_id, sum(count), sum(bytes_received), sum(error_count) FROM traffic_detail GROUP BY 1"


@pytest.fixture(autouse=True)
def _two_days(monkeypatch: pytest.MonkeyPatch, clean_engine: Client, db: None) -> None:
    monkeypatch.setattr("demo.traffic.DAYS", 2)
    monkeypatch.setattr("demo.management.commands.seed_demo.REQUESTS_OF", timedelta(0))


def seed(at: datetime) -> None:
    with time_machine.travel(at, tick=False):
        call_command("seed_demo", stdout=StringIO())


def expected(start: datetime, end: datetime) -> dict[int, Counter[str]]:
    """The totals of the rows, by proxy user."""
    ids = dict(ProxyUser.objects.values_list("login", "id"))
    sums: dict[int, Counter[str]] = {number: Counter() for number in ids.values()}
    for row in traffic.rows(start, end):
        sums[ids[row["proxy_user"]]].update(
            {name: row.get(name, 0) for name in ("count", "bytes_received", "error_count")}
        )
    return sums


def found(engine: Client) -> dict[int, Counter[str]]:
    return {
        number: Counter(count=count, bytes_received=received, error_count=errors)
        for number, count, received, errors in engine.fetch(BY_LOGIN, tag="tests")
    }


def test_every_quarter_hour_up_to_now_is_counted_once_for_each_order(engine: Client) -> None:
    seed(NOON)
    assert found(engine) == expected(datetime(2026, 11, 11, tzinfo=UTC), floor(NOON, GRAIN))


def test_seeding_again_adds_nothing_and_later_only_the_missing_time(engine: Client) -> None:
    for at in (NOON - timedelta(hours=9), NOON, NOON, NOON + timedelta(minutes=1)):
        seed(at)
    assert found(engine) == expected(datetime(2026, 11, 11, tzinfo=UTC), floor(NOON, GRAIN))


def test_rows_pushed_by_a_visitor_are_not_mistaken_for_the_demos(engine: Client) -> None:
    seed(NOON - timedelta(hours=1))
    engine.command(
        "INSERT INTO traffic_detail (ip_out, bucket, user_id, proxy_user_id, count)"
        f" SELECT '::', '{NOON:%Y-%m-%d %H}:00:00', 1, 999, 1",
        tag="tests",
    )
    seed(NOON)
    assert found(engine).pop(999) == Counter(count=1)
    assert {**found(engine), 999: None} == {
        **expected(datetime(2026, 11, 11, tzinfo=UTC), floor(NOON, GRAIN)),
        999: None,
    }


def test_seeding_does_not_continue_while_batches_are_in_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    seed(NOON)
    monkeypatch.setattr("demo.management.commands.seed_demo.recover", lambda: None)  # a peer is sending them
    IngestBatch.objects.update(settled_at=None)
    with pytest.raises(CommandError, match="still wait for ClickHouse"):
        seed(NOON)


def test_no_demo_object_is_newer_than_its_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    seed(now)
    monkeypatch.undo()
    start = traffic.first_quarter(now)
    for order in Order.objects.select_related("user").prefetch_related("proxy_users"):
        login_at = max(login.created_at for login in order.proxy_users.all())
        assert max(order.user.date_joined, order.created_at, order.started_at, login_at) <= start
    [(first_event,)] = get_client().fetch("SELECT min(ts) FROM events", tag="tests")
    assert Application.objects.get().created_at <= first_event


def test_two_months_of_traffic_stay_below_the_limits_of_the_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    start = traffic.first_quarter(NOON)
    sums: Counter[str] = Counter()
    for row in traffic.rows(start, NOON):
        sums[row["proxy_user"]] += row["bytes_sent"] + row.get("bytes_received", 0)
    assert start == datetime(2026, 9, 13, tzinfo=UTC)
    assert 50 < sums["alice"] / GIB < 100
    assert 8 < sums["bob"] / GIB < 10


def test_the_demo_environment_can_be_read_into_the_shell_that_runs_the_next_command() -> None:
    seed(timezone.now())
    exported = re.findall(r"^export (\w+)=", (settings.DATA_DIR / "demo.env").read_text(), re.MULTILINE)
    Environment(dict.fromkeys(exported, "x")).refuse_unknown()
    assert exported == ["BASE_URL", "READ_KEY", "WRITE_KEY", "INGEST_KEY", "APP_ID", "APP_WRITE_KEY", "APP_READ_KEY"]


def test_the_demo_s_application_has_two_weeks_of_events_and_seeding_again_adds_none() -> None:
    now = timezone.now()
    for _ in range(2):
        seed(now)
        [(events, first)] = get_client().fetch("SELECT count(), min(ts) FROM events", tag="tests")
        assert first < now - timedelta(days=13)
        expected = list(demo_events.events(floor(now - timedelta(days=14), DAY), floor(now, HOUR)))
        assert events == len(expected) > 5000


def test_the_log_of_the_last_day_agrees_with_the_totals_and_seeding_again_adds_nothing(
    monkeypatch: pytest.MonkeyPatch, engine: Client
) -> None:
    monkeypatch.setattr("demo.traffic.DAYS", 10)  # within two, a busy hour has more requests than a batch may hold
    monkeypatch.setattr("demo.management.commands.seed_demo.REQUESTS_OF", timedelta(hours=2))
    now = timezone.now()  # requests older than a week would be deleted
    end = floor(now, GRAIN)
    for _ in range(2):
        seed(now)
        assert found(engine) == expected(traffic.first_quarter(now), end)
    logins = dict(ProxyUser.objects.values_list("id", "login"))
    logged = engine.fetch(
        "SELECT proxy_user_id, count(), sum(bytes_received), countIf(error != '') FROM requests GROUP BY 1", tag="tests"
    )
    wanted = expected(end - timedelta(hours=2), end)
    assert {logins[number] for number, *_ in logged} == set(requests.LOGINS)
    for number, count, received, errors in logged:
        assert wanted[number] == Counter(count=count, bytes_received=received, error_count=errors)


@pytest.mark.parametrize("cuts", [[1], [2, 4], [0, 450, 450, 899]])
def test_live_traffic_equals_seeded_traffic_of_the_same_time(cuts: list[int]) -> None:
    start = floor(NOON, GRAIN)
    ends = [start + timedelta(seconds=cut) for cut in [0, *sorted(cuts), 900]]
    whole = live.reports(start, start + GRAIN)
    parts = [live.reports(*span) for span in pairwise(ends)]
    for pieces, all_of_it in (
        ([row for part in parts for row in part.rows], whole.rows),
        ([row for part in parts for row in part.requests], whole.requests),
    ):
        assert all_of_it
        assert sorted(map(str, pieces)) == sorted(map(str, all_of_it))
