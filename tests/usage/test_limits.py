"""Limits of single logins and daily limits of orders: who is stopped, until when, and who is notified."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import hypothesis
import msgspec
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts.models import User
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import Client
from orders import enforcement, proxy_users, webhooks
from orders import services as order_services
from orders.gateway import feed
from orders.gateway.decision import RefusalReason, SignIn, decide
from orders.limits import FOREVER
from orders.models import LedgerReason, Order, ProviderEvent, ProxyUser
from orders.periods import Every, RecurringPeriod
from tests.analytics.helpers import engine_unavailable
from tests.orders.helpers import change
from usage import limits, metering, tasks

GB = 2**30
DAY = timedelta(days=1)
NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)  # in Berlin 13:00; the month has 31 days
BERLIN = RecurringPeriod(Every.MONTH, date(2027, 1, 15), "Europe/Berlin")


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, limit=100 * GB, logins=("a", "b"), started_at=NOON - 9 * DAY, now=NOON - 9 * DAY)


def user(login: str = "a") -> ProxyUser:
    return ProxyUser.objects.get(login=login)


def limit(login: str = "a", **given: int | None) -> None:
    proxy_users.change_by_owner(user(login), {"limits": given})


def use(size: int, at: datetime, login: str = "a", *, arrives: datetime | None = None) -> None:
    row = {"ts": f"{at:%Y-%m-%d %H:%M:%S}", "proxy_user": login, "count": 1, "bytes_received": size}
    body = msgspec.json.encode({"logs": [row]})
    now = arrives or at
    ingest_service.accept(
        body, to_inbox, account_id=user(login).order.user_id, route=IngestBatch.Route.TRAFFIC, key=None, now=now
    )


def beat(now: datetime) -> None:
    """As the task keep_accounts does it."""
    order_services.close_expired(now)
    enforcement.publish_overdue(now)
    proxy_users.release_over(now)
    metering.post_usage(now)
    limits.check_due(now)


def reason(login: str, now: datetime) -> RefusalReason | None:
    return decide(SignIn(login, None), now).reason


def follow(stopped: set[str], since: int = 0) -> tuple[set[str], int]:
    """As a gateway applies the cut-off feed, in pages of two."""
    while changes := enforcement.changes_since(since, 2):
        for told in changes:
            stopped = stopped - set(told.logins) if told.state == "active" else stopped | set(told.logins)
            since = told.number
    return stopped, since


def by_states() -> set[str]:
    """The logins that `/gateway/logins` reports as stopped."""
    return {state.login for state in feed.changed_logins(0, 1000).logins if state.stopped and not state.deleted}


def test_reaching_its_daily_limit_cuts_off_one_login_only(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB - 1, NOON)
    beat(NOON)
    assert (reason("a", NOON), follow(set())[0]) == (None, set())
    use(1, NOON)
    beat(NOON)
    assert (reason("a", NOON), reason("b", NOON)) == (RefusalReason.EXHAUSTED, None)
    assert (follow(set())[0], by_states()) == ({"a"}, {"a"})


def test_the_feed_lists_the_login_with_its_order(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    [change] = enforcement.changes_since(0, 10)
    assert (change.state, change.logins, change.order_id, change.changed_at) == ("exhausted", ["a"], order.pk, NOON)
    assert enforcement.changes_since(change.number, 10) == []


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [("UTC", datetime(2027, 3, 11, tzinfo=UTC)), ("Europe/Berlin", datetime(2027, 3, 10, 23, tzinfo=UTC))],
)
def test_a_stopped_login_is_released_at_midnight_in_the_orders_zone(
    order: Order, zone: str, midnight: datetime
) -> None:
    change(order, NOON, period=RecurringPeriod(Every.MONTH, date(2027, 1, 15), zone))
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    before = midnight - timedelta(seconds=1)
    beat(before)
    assert (reason("a", before), follow(set())[0]) == (RefusalReason.EXHAUSTED, {"a"})
    assert reason("a", midnight) is None  # even before the task has run
    beat(midnight)
    assert (reason("a", midnight), follow({"a"})[0], by_states()) == (None, set(), set())


def test_a_stopped_login_is_released_while_clickhouse_is_unavailable(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    with engine_unavailable():
        assert tasks.keep_accounts() in (True, False)
        proxy_users.release_over(NOON + DAY)
    assert (reason("a", NOON + DAY), follow({"a"})[0]) == (None, set())


def test_a_monthly_limit_holds_until_the_month_ends(order: Order) -> None:
    change(order, NOON, period=BERLIN)
    limit(dayBytes=GB, monthBytes=2 * GB)
    for day in (0, 1):
        use(GB, NOON + day * DAY)
        beat(NOON + day * DAY)
    april = datetime(2027, 3, 31, 22, tzinfo=UTC)
    for at in (NOON + 2 * DAY, april - timedelta(minutes=1)):
        beat(at)
        assert reason("a", at) == RefusalReason.EXHAUSTED
    beat(april)
    assert (reason("a", april), follow({"a"})[0]) == (None, set())


def test_a_limit_in_total_holds_until_it_is_raised(order: Order) -> None:
    limit(totalBytes=2 * GB)
    use(GB, NOON - 5 * DAY)
    use(GB, NOON)
    beat(NOON)
    assert user().stopped_until == FOREVER
    beat(NOON + 400 * DAY)
    assert reason("a", NOON + 400 * DAY) == RefusalReason.EXHAUSTED
    limit(totalBytes=3 * GB)
    beat(NOON + 400 * DAY)
    assert (reason("a", NOON + 400 * DAY), follow({"a"})[0]) == (None, set())


def test_a_limit_counts_usage_from_before_it_was_set(order: Order) -> None:
    use(5 * GB, NOON - timedelta(hours=1))
    beat(NOON)
    limit(dayBytes=5 * GB)
    beat(NOON)
    assert reason("a", NOON) == RefusalReason.EXHAUSTED
    limit(dayBytes=None)
    beat(NOON)
    assert (reason("a", NOON), user().limits_due_at, follow({"a"})[0]) == (None, None, set())


def test_yesterdays_traffic_that_arrives_late_does_not_count_today(order: Order) -> None:
    limit(dayBytes=GB, monthBytes=3 * GB)
    use(2 * GB, NOON - DAY, arrives=NOON)
    beat(NOON)
    assert reason("a", NOON) is None
    use(GB, NOON - DAY, arrives=NOON)
    beat(NOON)
    assert reason("a", NOON) == RefusalReason.EXHAUSTED


def test_traffic_stamped_tomorrow_counts_tomorrow(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON + timedelta(hours=13), arrives=NOON)
    beat(NOON)
    assert reason("a", NOON) is None
    beat(NOON + timedelta(hours=13))
    assert reason("a", NOON + timedelta(hours=13)) == RefusalReason.EXHAUSTED


def test_a_login_whose_limit_ends_while_its_order_is_stopped_stays_stopped(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    order_services.suspend(order, NOON)
    tomorrow = NOON + DAY
    beat(tomorrow)
    assert (follow(set())[0], by_states(), reason("a", tomorrow)) == ({"a", "b"}, {"a", "b"}, RefusalReason.SUSPENDED)
    order_services.resume(order, tomorrow)
    assert (follow({"a", "b"})[0], by_states()) == (set(), set())


def test_an_order_that_comes_back_leaves_its_stopped_login_stopped(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    order_services.suspend(order, NOON)
    stopped, cursor = follow(set())
    order_services.resume(order, NOON)
    assert (stopped, follow(stopped, cursor)[0], follow(set())[0]) == ({"a", "b"}, {"a"}, {"a"})


def test_a_stopped_login_that_is_deleted_and_created_again_is_released(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    order_services.set_logins(order, {"b": {}}, NOON)
    order_services.set_logins(order, {"a": {}, "b": {}}, NOON)
    assert (follow({"a"})[0], reason("a", NOON)) == (set(), None)


def test_a_stopped_login_that_is_renamed_is_stopped_under_its_new_name(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    renamed = user()
    renamed.login = "c"
    proxy_users.save(renamed, NOON)
    beat(NOON)
    assert follow(set())[0] == {"c"}
    assert by_states() == {"c"}


def test_work_left_by_a_killed_process_is_done_by_the_next(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(proxy_users, "stop", die)
        with pytest.raises(KeyboardInterrupt):
            metering.post_usage(NOON)
    assert reason("a", NOON) is None
    metering.post_usage(NOON)
    assert reason("a", NOON) == RefusalReason.EXHAUSTED


def test_a_lock_holds_the_named_orders_and_their_limited_logins_only(
    order: Order, alice: User, make_order: Callable[..., Order]
) -> None:
    other = make_order(alice, limit=None, logins=("c",), day_limit_bytes=GB)
    for login in ("a", "c"):
        limit(login, dayBytes=GB)
    with transaction.atomic():
        assert limits.lock([order.pk]) == ([], [user("a")])
        assert limits.lock([other.pk]) == ([other], [user("c")])


def test_only_logins_whose_limits_are_due_are_checked(order: Order) -> None:
    for login in ("a", "b"):
        limit(login, dayBytes=GB)
    beat(NOON)
    for login in ("a", "b"):
        use(GB, NOON, login)
    limit("a", dayBytes=GB)
    limits.check_due(NOON)
    assert (reason("a", NOON), reason("b", NOON)) == (RefusalReason.EXHAUSTED, None)


def test_all_due_limits_are_checked_however_many(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    for login in ("a", "b"):
        limit(login, dayBytes=GB)
    ProxyUser.objects.update(limits_due_at=NOON)
    Order.objects.update(limits_due_at=NOON)
    monkeypatch.setattr(limits, "CHUNK", 1)
    limits.check_due(NOON)
    assert not ProxyUser.objects.filter(limits_due_at__lte=NOON).exists()


def test_stopped_logins_are_checked_before_the_others(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    for login in ("a", "b"):
        limit(login, dayBytes=GB)
    use(GB, NOON, "b")
    beat(NOON)
    checked: list[str] = []
    enforce = limits.enforce

    def record(locked: limits.Locked, now: datetime) -> None:
        checked.extend(user.login for user in locked.users)
        enforce(locked, now)

    monkeypatch.setattr(limits, "enforce", record)
    monkeypatch.setattr(limits, "CHUNK", 1)
    limits.check_due(NOON + DAY)
    assert checked == ["b", "a"]


def test_a_limit_adds_no_query_to_a_sign_in(order: Order, django_assert_num_queries: Any) -> None:
    limit(dayBytes=GB, totalBytes=9 * GB)
    use(GB, NOON)
    beat(NOON)
    with django_assert_num_queries(2):  # its row with the order, and the balance
        assert reason("a", NOON) == RefusalReason.EXHAUSTED


# --- fair use


@pytest.fixture
def unmetered(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(
        alice,
        limit=None,
        logins=("a", "b"),
        started_at=NOON - 9 * DAY,
        now=NOON - 9 * DAY,
        period=BERLIN,
        day_limit_bytes=5 * GB,
    )


def test_an_order_at_its_daily_limit_is_stopped_until_its_day_ends(unmetered: Order) -> None:
    use(3 * GB, NOON, "a")
    beat(NOON)
    assert follow(set())[0] == set()
    use(2 * GB, NOON, "b")
    beat(NOON)
    assert (reason("a", NOON), follow(set())[0], by_states()) == (RefusalReason.EXHAUSTED, {"a", "b"}, {"a", "b"})
    midnight = datetime(2027, 3, 10, 23, tzinfo=UTC)
    assert reason("a", midnight - timedelta(seconds=1)) == RefusalReason.EXHAUSTED
    assert reason("a", midnight) is None
    beat(midnight)
    assert (follow({"a", "b"})[0], by_states()) == (set(), set())


def test_an_order_without_traffic_today_does_not_reach_its_daily_limit(unmetered: Order) -> None:
    change(unmetered, NOON, day_limit_bytes=1)
    beat(NOON)
    assert (reason("a", NOON), follow(set())[0]) == (None, set())


def test_a_traffic_limit_replaces_the_daily_limit(unmetered: Order) -> None:
    use(5 * GB, NOON)
    beat(NOON)
    change(unmetered, NOON, limit_bytes=10 * GB)
    beat(NOON)
    assert (reason("a", NOON), follow({"a", "b"})[0]) == (None, set())
    change(unmetered, NOON, limit_bytes=None)
    beat(NOON)
    assert reason("a", NOON) == RefusalReason.EXHAUSTED
    change(unmetered, NOON, day_limit_bytes=None)
    beat(NOON)
    assert (reason("a", NOON), follow({"a", "b"})[0]) == (None, set())


def test_a_change_of_zone_moves_the_end_of_the_orders_day(unmetered: Order) -> None:
    use(5 * GB, NOON)
    beat(NOON)
    change(unmetered, NOON, period=None, zone="Asia/Tokyo")
    beat(NOON)
    unmetered.refresh_from_db()
    assert unmetered.stopped_until == datetime(2027, 3, 10, 15, tzinfo=UTC)


def test_a_change_of_zone_moves_the_reset_of_login_limits(order: Order) -> None:
    limit(dayBytes=GB)
    use(GB, NOON)
    beat(NOON)
    change(order, NOON, period=None, zone="Asia/Tokyo")
    beat(NOON)
    assert user().stopped_until == datetime(2027, 3, 10, 15, tzinfo=UTC)
    after = datetime(2027, 3, 10, 15, tzinfo=UTC)
    beat(after)
    assert (reason("a", after), follow({"a"})[0]) == (None, set())


# --- any life


STEPS = ("use", "use", "use late", "limit", "limit", "order limit", "wait", "wait", "suspend", "resume", "top up",
         "remove", "add", "rename")  # fmt: skip
Step = tuple[str, str, int]
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from("abc"), st.integers(1, 12)), max_size=12)


class Scene:
    """An order with logins, their usage, and a gateway that follows the feed."""

    def __init__(self, order: Order, names: dict[str, str]) -> None:
        self.order = order
        self.names = names
        self.used: list[tuple[int, datetime, int]] = []
        self.now = NOON
        self.stopped: set[str] = set()
        self.cursor = enforcement.last_number()

    def take(self, step: str, which: str, size: int) -> None:
        found = ProxyUser.objects.filter(login=self.names[which]).first()
        if step == "wait":
            self.now += timedelta(hours=5 * size)
        elif step in ("use", "use late", "limit", "rename"):
            if found:
                getattr(self, step.replace(" ", "_"))(found, which, size)
        else:
            getattr(self, step.replace(" ", "_"))(which, size)

    def use(self, found: ProxyUser, which: str, size: int, late: timedelta = timedelta(0)) -> None:
        use(size, self.now - late, found.login, arrives=self.now)
        self.used.append((found.pk, self.now - late, size))

    def use_late(self, found: ProxyUser, which: str, size: int) -> None:
        self.use(found, which, size, late=DAY)

    def limit(self, found: ProxyUser, which: str, size: int) -> None:
        name = ("dayBytes", "monthBytes", "totalBytes")[size % 3]
        limit(found.login, **{name: size if size < 10 else None})

    def rename(self, found: ProxyUser, which: str, size: int) -> None:
        found.login = self.names[which] = f"{found.login}x"
        proxy_users.save(found, self.now)

    def order_limit(self, which: str, size: int) -> None:
        change(self.order, self.now, day_limit_bytes=3 * size)

    def suspend(self, which: str, size: int) -> None:
        order_services.suspend(self.order, self.now)

    def resume(self, which: str, size: int) -> None:
        order_services.resume(self.order, self.now)

    def top_up(self, which: str, size: int) -> None:
        if self.order.traffic_limit_bytes is not None:
            order_services.credit(self.order, LedgerReason.TOP_UP, size, reference=None, author="shop", now=self.now)

    def remove(self, which: str, size: int) -> None:
        self.set_logins(self.present - {self.names[which]})

    def add(self, which: str, size: int) -> None:
        self.set_logins(self.present | {self.names[which]})

    def set_logins(self, logins: set[str]) -> None:
        order_services.set_logins(self.order, {login: {} for login in logins}, self.now)

    @property
    def present(self) -> set[str]:
        return set(ProxyUser.objects.filter(order=self.order).values_list("login", flat=True))

    def compare(self) -> None:
        beat(self.now)
        self.stopped, self.cursor = follow(self.stopped, self.cursor)
        refused = {login for login in self.present if reason(login, self.now) is not None}
        assert self.stopped & self.present == refused
        assert follow(set())[0] & self.present == refused
        assert by_states() & self.present == refused
        for each in ProxyUser.objects.filter(order=self.order):
            assert each.is_stopped(self.now) == is_reached(each, self.used, self.now)


@hypothesis.given(steps, st.booleans())
@hypothesis.settings(
    max_examples=15,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
def test_any_follower_stops_exactly_the_logins_that_may_not_pass(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, steps: list[Step], is_metered: bool
) -> None:
    names = {name: f"{name}{Order.objects.count()}" for name in "abc"}
    life = {"started_at": NOON - 9 * DAY, "now": NOON - 9 * DAY, "period": BERLIN}
    scene = Scene(make_order(alice, limit=30 if is_metered else None, logins=tuple(names.values()), **life), names)
    for step in steps:
        scene.take(*step)
        scene.compare()


def is_reached(user: ProxyUser, used: list[tuple[int, datetime, int]], now: datetime) -> bool:
    """By plain sums over the local days and months that contain its traffic."""
    zone = BERLIN.zone
    local = [(at.astimezone(zone), size) for pk, at, size in used if pk == user.pk]
    today = now.astimezone(zone)
    day = sum(size for at, size in local if at.date() == today.date())
    month = sum(size for at, size in local if (at.year, at.month) == (today.year, today.month))
    total = sum(size for _, size in local)
    return any(
        limit is not None and size >= limit for limit, size in zip(user.limits, (day, month, total), strict=True)
    )


# --- by API


def patch(client: APIClient, login: str, **body: Any) -> Any:
    return client.patch(f"/proxy-users/{user(login).published_id}", json.dumps(body), content_type="application/json")


def test_a_customer_sets_limits_and_reads_the_usage(order: Order, client_for: Callable[..., APIClient]) -> None:
    client = client_for(order.user, "read", "write")
    answer = patch(client, "a", limits={"dayBytes": 5, "monthBytes": 100}).json()["proxyUser"]
    assert answer["limits"] == {"dayBytes": 5, "monthBytes": 100, "totalBytes": None}
    assert patch(client, "a", limits={"monthBytes": None}).json()["proxyUser"]["limits"]["dayBytes"] == 5
    now = datetime.now(UTC)
    use(7, now)
    use(3, now - 40 * DAY, arrives=now)
    beat(now)
    first, second = client.get("/proxy-users").json()["proxyUsers"]
    assert first["limits"] == {"dayBytes": 5, "monthBytes": None, "totalBytes": None}
    assert first["used"] == {"dayBytes": 7, "monthBytes": 7, "totalBytes": 10}
    assert datetime.fromisoformat(first["stoppedUntil"]) > now
    assert (second["used"]["totalBytes"], second["stoppedUntil"]) == (0, None)
    header, row, _ = client.get("/proxy-users?format=csv").content.decode().lstrip("\ufeff").splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["limits.dayBytes"], cells["used.monthBytes"], cells["limits.totalBytes"]) == ("5", "7", "")


@pytest.mark.parametrize(
    "limits",
    [{"dayBytes": 0}, {"dayBytes": -1}, {"dayBytes": "5"}, {"dayBytes": 2**53}, {"monthBytes": 1.5}, [], "5", None],
)
def test_a_malformed_limit_is_refused_and_changes_nothing(
    order: Order, client_for: Callable[..., APIClient], limits: Any
) -> None:
    refused = patch(client_for(order.user), "a", limits=limits)
    assert refused.status_code == 400
    assert "limits" in json.dumps(refused.json())
    assert (any(user().limits), user().limits_due_at) == (False, None)


def test_without_clickhouse_the_list_answers_503_and_changes_still_work(
    order: Order, client_for: Callable[..., APIClient]
) -> None:
    client = client_for(order.user)
    with engine_unavailable():
        answer = client.get("/proxy-users")
        assert (answer.status_code, "Retry-After" in answer) == (503, True)
        assert patch(client, "a", allowedIps=["192.0.2.7"]).status_code == 200


def test_the_provider_gets_one_event_for_a_login_at_its_limit(order: Order) -> None:
    webhooks.create(url="https://billing.example/", description="", event_types=[], now=NOON)
    limit("a", dayBytes=5)
    for _ in range(3):
        use(5, NOON)
        beat(NOON)
    [event] = ProviderEvent.objects.all()
    assert (event.type, event.data["login"], event.data["id"]) == ("proxy_user.exhausted", "a", order.published_id)
    assert event.data["until"] is not None


def test_accounts_without_anything_due_are_kept_without_a_transaction(order: Order) -> None:
    with CaptureQueriesContext(connection) as statements:
        assert tasks.keep_accounts()
    assert statements.captured_queries
    assert not [each for each in statements.captured_queries if each["sql"].startswith(("BEGIN", "SAVEPOINT"))]
