"""What a billing system reads equals the ledgers and every other read, for any grouping, zone and format."""

from __future__ import annotations

import csv
import io
import json
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from django.utils import timezone
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts import erasure
from accounts.audit_trail import Actor
from accounts.models import User
from analytics import billing
from analytics.billing import OrderKey, UsageSum
from fonproxy.clickhouse.client import Client
from fonproxy.timerange import GRAIN, ceil, floor
from orders.models import LedgerEntry, LedgerReason, Order, ProxyUser
from tests.analytics.helpers import engine_unavailable
from tests.thoroughness import drawn, examples
from tests.usage.billing.world import DAYS, BillingWorld, PushedLine, build, key_of, measured, push, totals_by
from tests.usage.helpers import carry
from usage.billing.params import UsageParams
from usage.billing.rows import Group

GROUPS = tuple(group.value for group in Group)
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Chatham", "Europe/Berlin")


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient]) -> APIClient:
    return client_for(staff)


@pytest.fixture
def world(alice: User, bob: User, make_order: Callable[..., Order], clean_engine: Client) -> BillingWorld:
    for user in (alice, bob):
        User.objects.filter(pk=user.pk).update(external_id=f"c-{user.username}")
    return build(make_order, [alice, bob], timezone.now())


def ndjson(shop: APIClient, start: Any, end: Any, **query: Any) -> list[dict[str, Any]]:
    answer: Any = shop.get("/provisioning/usage", {"from": start, "to": end, "format": "ndjson", **query})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]


def pages(shop: APIClient, start: Any, end: Any, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = shop.get("/provisioning/usage", {"from": start, "to": end, "cursor": cursor, **query})
        assert answer.status_code == 200, answer.content
        rows += answer.json()["usage"]
        cursor = answer.json()["nextCursor"]
    return rows


def days_of(world: BillingWorld) -> tuple[str, str]:
    """All dates with traffic, on any clock."""
    return f"{world.start - timedelta(days=1):%Y-%m-%d}", f"{world.now + timedelta(days=1):%Y-%m-%d}"


def test_usage_in_any_grouping_and_zone_sums_to_the_pushed_traffic(shop: APIClient, world: BillingWorld) -> None:
    first, last = days_of(world)
    start, end = (world.start + timedelta(days=10.3), world.start + timedelta(days=45.6))
    for group in GROUPS:
        found = ndjson(shop, start.isoformat(), end.isoformat(), group=group)
        edges = [at.replace(minute=at.minute // 15 * 15, second=0) for at in (start, end + timedelta(minutes=14))]
        assert {key_of(row, group): measured(row) for row in found} == world.expected(group, edges[0], edges[1])
        for name in ZONES:
            zone = ZoneInfo(name)
            found = ndjson(shop, first, last, group=group, interval="day", tz=name)
            by_key = {key_of(row, group): measured(row) for row in found}
            far = timedelta(days=DAYS * 2)
            assert by_key == world.expected(group, world.now - far, world.now + far, zone), (group, name)
            assert len(by_key) == len(found)
            for row in found:
                day = datetime.fromisoformat(row["from"]).astimezone(zone)
                assert (f"{day:%Y-%m-%d %H:%M}", row["to"] > row["from"]) == (f"{row['day']} 00:00", True)


def test_attributed_usage_equals_the_ledgers(shop: APIClient, world: BillingWorld) -> None:
    lines = LedgerEntry.objects.filter(reason=LedgerReason.USAGE)
    ledger = {(line.order_id, f"{line.usage_day}"): (-line.bytes, line.requests) for line in lines}
    for group in GROUPS:
        rows = [row for row in ndjson(shop, *days_of(world), group=group, interval="day") if row["attributed"]]
        by_day = {day: value for (day,), value in totals_by(rows, "day").items()}
        assert by_day == {
            day: tuple(map(sum, zip(*(value for (_, at), value in ledger.items() if at == day), strict=True)))
            for _, day in ledger
        }
        if group in ("order", "proxyUser"):
            assert totals_by(rows, "orderId", "day") == ledger


def test_a_customers_billed_usage_equals_the_customers_own_read(
    shop: APIClient, world: BillingWorld, client_for: Callable[..., APIClient]
) -> None:
    first, last = f"{world.start + timedelta(days=1):%Y-%m-%d}", f"{world.now - timedelta(days=1):%Y-%m-%d}"
    days = {"from": first, "to": last}
    for zone in ZONES:
        rows = totals_by(ndjson(shop, first, last, group="user", interval="day", tz=zone), "userId", "day")
        for user in world.users:
            api = client_for(user)
            billed = {day: value for (number, day), value in rows.items() if number == user.pk}
            asked = {"start_date": first, "end_date": last, "tz": zone}
            points = api.get("/api/v1/usage/history", asked).json()["data"]["data_points"]
            assert billed == {
                point["timestamp"][:10]: (point["bytes"], point["requests"]) for point in points if point["requests"]
            }
            points = api.get("/analytics/traffic", {**days, "interval": "1d", "tz": zone}).json()["data"]
            assert billed == {
                point["bucket"][:10]: (int(point["bytes_total"]), int(point["total_count"])) for point in points
            }
            if zone == "UTC":
                asked = {"period_start": first, "period_end": last, "interval": "day"}
                points = api.get("/analytics/graph", asked).json()["data"]["graph"]
                assert billed == {
                    point["datetime"][:10]: (point["bytes"], point["requests"]) for point in points if point["requests"]
                }


@drawn
@hypothesis.given(
    group=st.sampled_from(GROUPS),
    name=st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"})),
    offset=st.integers(-26 * 60, DAYS * 1440),
    length=st.integers(0, DAYS * 1440),
)
@hypothesis.example(group="user", name="Europe/Berlin", offset=-26 * 60, length=(DAYS + 3) * 1440)
@hypothesis.settings(
    max_examples=examples(40),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
    deadline=None,
)
def test_usage_in_any_range_and_zone_equals_the_pushed_traffic_and_every_familys_read(
    group: str,
    name: str,
    offset: int,
    length: int,
    shop: APIClient,
    world: BillingWorld,
    client_for: Callable[..., APIClient],
) -> None:
    zone = ZoneInfo(name)
    start = world.start + timedelta(minutes=offset)
    end = start + timedelta(minutes=length)
    first, last = (floor(start, GRAIN), ceil(end, GRAIN)) if start < end else (start, start)
    given = [start.isoformat(), end.isoformat()]
    total = ndjson(shop, *given, group=group, tz=name)
    daily = ndjson(shop, *given, group=group, tz=name, interval="day")
    assert {key_of(row, group): measured(row) for row in total} == world.expected(group, first, last)
    assert {key_of(row, group): measured(row) for row in daily} == world.expected(group, first, last, zone)
    for user in world.users:
        api = client_for(user)
        [billed] = {totals_by(rows, "userId").get((user.pk,), (0, 0)) for rows in (total, daily)}
        asked = {"from": given[0], "to": given[1], "tz": name}
        sums = api.get("/analytics/traffic", asked).json()["totals"]
        assert (int(sums["bytes_total"]), int(sums["total_count"])) == billed
        asked = {"start_date": given[0], "end_date": given[1], "tz": name}
        points = api.get("/api/v1/usage/history", asked).json()["data"]["data_points"]
        assert (sum(point["bytes"] for point in points), sum(point["requests"] for point in points)) == billed
        asked = {"period_start": given[0], "period_end": given[1], "interval": "day", "tz": name}
        summary = api.get("/analytics/graph", asked).json()["data"]["summary"]
        assert (summary["bytes"], summary["requests"]) == billed


def test_an_orders_usage_equals_that_of_its_subscription(
    shop: APIClient, world: BillingWorld, client_for: Callable[..., APIClient]
) -> None:
    rows = totals_by(ndjson(shop, *days_of(world)), "userId", "orderId")
    for order in world.orders:
        answer = client_for(order.user).get(f"/api/v1/subscriptions/sub_{order.published_id}/usage?period=all").json()
        total = answer["data"]["total"]
        assert rows[order.user_id, order.pk] == (total["bytes_used"], total["requests"])


def text_of(value: Any) -> str:
    """A JSON value as a CSV cell."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def test_pages_and_csv_have_the_rows_of_the_stream(
    shop: APIClient, world: BillingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = days_of(world)
    monkeypatch.setattr("usage.billing.views.MIN_AT_ONCE", 3)
    for group, interval, limit in [(group, "total", 4) for group in GROUPS] + [("proxyUser", "day", 60)]:
        query = {"group": group, "interval": interval, "tz": "Asia/Kathmandu"}
        whole = ndjson(shop, first, last, **query)
        assert pages(shop, first, last, limit=limit, **query) == whole
        answer: Any = shop.get("/provisioning/usage", {"from": first, "to": last, "format": "csv", **query})
        text = b"".join(answer.streaming_content).decode("utf-8-sig")
        told = [{name: text_of(value) for name, value in row.items()} for row in whole]
        assert list(csv.DictReader(io.StringIO(text))) == told
        assert answer.headers["Content-Disposition"] == f'attachment; filename="usage_{first}_{last}.csv"'


def test_a_stream_in_small_steps_has_the_same_rows(shop: APIClient, world: BillingWorld) -> None:
    first, last = days_of(world)
    for group, interval, at_once in [(group, "total", 4) for group in GROUPS] + [("worker", "day", 70)]:
        given = UsageParams(data={"from": first, "to": last, "group": group, "interval": interval})
        assert given.is_valid()
        asked, now = given.validated_data["request"], timezone.now()
        whole = [row for rows in asked.rows(now) for row in rows]
        assert [row for rows in asked.rows(now, None, at_once) for row in rows] == whole
        for key, _ in whole[:: len(whole) // 2]:
            later = [row for rows in asked.rows(now, key, at_once) for row in rows]
            assert later == [row for row in whole if row[0] > key]


def test_rows_have_external_ids_and_make_meter_events(shop: APIClient, world: BillingWorld) -> None:
    rows = ndjson(shop, *days_of(world), group="proxyUser", interval="day")
    orders = {order.pk: order for order in world.orders}
    users = dict(User.objects.values_list("pk", "external_id"))
    for row in rows:
        order = orders.get(row["orderId"]) if row["attributed"] else None
        assert (row["user"], row["order"]) == (users.get(row["userId"]), order and order.external_id)
        assert (row["product"], row["proxyType"]) == (order and order.product.name, order and "residential-giga")
        assert row["value"] == str(row["bytesSent"] + row["bytesReceived"])
        start, end = (datetime.fromisoformat(row[name]).timestamp() for name in ("from", "to"))
        assert start <= row["timestamp"] < end
        assert row["timestamp"] <= timezone.now().timestamp()
        assert len(row["identifier"]) <= 100
    assert len({row["identifier"] for row in rows}) == len(rows)
    again = ndjson(shop, *days_of(world), group="proxyUser", interval="day")
    assert [row["identifier"] for row in again] == [row["identifier"] for row in rows]
    others = ndjson(shop, *days_of(world), group="proxyUser")
    assert not {row["identifier"] for row in others} & {row["identifier"] for row in rows}


def test_a_removed_login_keeps_its_usage_under_its_id(shop: APIClient, world: BillingWorld) -> None:
    login = ProxyUser.objects.get(login="alice-0-1")
    before = [row for row in ndjson(shop, *days_of(world), group="proxyUser") if row["proxyUser"] == login.login]
    ProxyUser.objects.filter(pk=login.pk).delete()
    after = [
        row for row in ndjson(shop, *days_of(world), group="proxyUser") if row["proxyUserId"] == login.published_id
    ]
    assert after == [{**row, "proxyUser": None} for row in before] != []


def test_an_erased_customer_does_not_appear(shop: APIClient, world: BillingWorld) -> None:
    alice = world.users[0]
    kept = [row for row in ndjson(shop, *days_of(world)) if row["userId"] != alice.pk]
    erasure.erase(alice, timezone.now(), Actor())
    assert ndjson(shop, *days_of(world)) == kept
    assert {row["user"] for row in kept if row["attributed"]} == {"c-bob"}


LAST_MONTH = ("2026-05-01", "2026-05-31")
IN_MAY = datetime(2026, 5, 31, 23, 50, tzinfo=UTC)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, external_id="o")


def told(shop: APIClient, **query: Any) -> dict[str, Any]:
    [row] = ndjson(shop, *LAST_MONTH, **query)
    return row


def test_a_closed_month_is_unchanged_until_late_rows_increase_its_revision(shop: APIClient, order: Order) -> None:
    carry(order, IN_MAY, 100)
    first = told(shop)
    assert (first["value"], first["closed"], first["revision"]) == ("100", True, 0)
    carry(order, IN_MAY + timedelta(days=1), 5)
    assert told(shop) == first
    push([PushedLine(order.user_id, order.pk, order, "", "", IN_MAY, (0, 10, 1, 0))] * 2, timezone.now())
    second = told(shop)
    assert (second["value"], second["closed"], second["revision"]) == ("120", True, 2)
    assert second["identifier"] != first["identifier"]
    push([PushedLine(order.user_id, order.pk, order, "", "", IN_MAY, (0, 0, 1, 0))], timezone.now(), history=True)
    assert (told(shop)["revision"], told(shop)["requests"]) == (3, 4)
    for group in GROUPS:
        assert told(shop, group=group)["revision"] == 3


def test_the_revision_of_a_customer_counts_the_late_rows_of_all_orders(
    shop: APIClient, order: Order, alice: User, make_order: Callable[..., Order]
) -> None:
    for late, of in enumerate((order, make_order(alice)), start=1):
        push([PushedLine(alice.pk, of.pk, of, "", "", IN_MAY, (0, 1, 1, 0))] * late, IN_MAY + timedelta(days=2))
    assert told(shop, group="user")["revision"] == 3


def test_the_timestamp_is_the_last_traffic_until_the_period_has_ended_then_its_last_second(
    shop: APIClient, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry(order, IN_MAY, 1)
    end = datetime(2026, 6, 1, tzinfo=UTC)
    last_second = end - timedelta(seconds=1)
    for at, second in ((end, last_second), (last_second, floor(IN_MAY, GRAIN))):
        monkeypatch.setattr("usage.billing.views.timezone.now", lambda at=at: at)
        assert told(shop)["timestamp"] == int(second.timestamp())


@pytest.mark.parametrize(
    ("taken", "revision"),
    [(timedelta(hours=24, minutes=9), 0), (timedelta(hours=24, minutes=10), 1)],
    ids=["within a day of its end", "later"],
)
def test_rows_within_a_day_of_the_periods_end_are_on_time(
    taken: timedelta, revision: int, shop: APIClient, order: Order
) -> None:
    """The month ends ten minutes after the row."""
    early = PushedLine(order.user_id, order.pk, order, "", "", IN_MAY - timedelta(days=20), (0, 1, 1, 0))
    push([early, PushedLine(order.user_id, order.pk, order, "", "", IN_MAY, (0, 1, 1, 0))], IN_MAY + taken)
    assert told(shop)["revision"] == 2 * revision
    days = {row["day"]: row["revision"] for row in ndjson(shop, *LAST_MONTH, interval="day")}
    assert days == {"2026-05-11": 1, "2026-05-31": revision}


def test_a_month_is_closed_a_day_after_its_end_and_when_the_journal_is_empty(
    shop: APIClient, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry(order, IN_MAY, 1)
    end = datetime(2026, 6, 1, tzinfo=UTC)
    for after, closed in ((timedelta(hours=24), False), (timedelta(hours=25), True)):
        monkeypatch.setattr("usage.billing.views.timezone.now", lambda at=end + after: at)
        assert told(shop)["closed"] is closed
    monkeypatch.undo()
    with engine_unavailable():
        carry(order, IN_MAY, 1)
    assert told(shop)["closed"] is False


def test_rows_pushed_before_logins_were_stored_have_an_unknown_login(
    shop: APIClient, order: Order, clean_engine: Client
) -> None:
    carry(order, IN_MAY, 100)
    clean_engine.command("TRUNCATE TABLE login_traffic", tag="tests")
    ProxyUser.objects.create(login="l", order=order)
    push([PushedLine(order.user_id, order.pk, order, "l", "w", IN_MAY, (0, 7, 1, 0))], IN_MAY)
    rows = ndjson(shop, *LAST_MONTH, group="proxyUser")
    assert [(row["proxyUser"], row["value"], row["requests"]) for row in rows] == [(None, "100", 1), ("l", "7", 1)]
    rows = ndjson(shop, *LAST_MONTH, group="worker")
    assert [(row["worker"], row["value"]) for row in rows] == [("", "100"), ("w", "7")]


def test_pages_neither_repeat_nor_miss_rows_while_traffic_arrives(
    shop: APIClient, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    orders = [make_order(alice, external_id=f"o{number}") for number in range(5)]
    for order in orders[1:4]:
        carry(order, IN_MAY, 1)
    asked: dict[str, Any] = {"from": LAST_MONTH[0], "to": LAST_MONTH[1], "limit": 2}
    first = shop.get("/provisioning/usage", asked).json()
    for order in orders:
        carry(order, IN_MAY, 10)
    rest = shop.get("/provisioning/usage", {**asked, "cursor": first["nextCursor"]}).json()
    rows = [(row["order"], row["value"]) for page in (first, rest) for row in page["usage"]]
    assert rows == [("o1", "1"), ("o2", "1"), ("o3", "11"), ("o4", "10")]
    assert rest["nextCursor"] is None


def test_an_empty_range_lists_nothing(shop: APIClient, order: Order) -> None:
    carry(order, IN_MAY, 1)
    for interval in ("total", "day"):
        at = IN_MAY.isoformat()
        assert ndjson(shop, at, at, interval=interval) == pages(shop, at, at, interval=interval) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": ""}, "from"),
        ({"to": "soon"}, "to"),
        ({"to": "2026-04-01"}, "to"),
        ({"to": "2027-05-03"}, "to"),
        ({"group": "country"}, "group"),
        ({"interval": "hour"}, "interval"),
        ({"tz": "Mars/Phobos"}, "tz"),
        ({"limit": "0"}, "limit"),
        ({"limit": "10001"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"format": "xml"}, "format"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
def test_malformed_parameters_are_named(query: dict[str, str], field: str, accept: str, shop: APIClient) -> None:
    given = {"from": LAST_MONTH[0], "to": LAST_MONTH[1], **query}
    refused = shop.get("/provisioning/usage", given, headers={"Accept": accept})
    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/json")
    assert [error["field"] for error in refused.json()["errors"]] == [field]


def test_a_cursor_is_valid_for_its_own_query_only(shop: APIClient, world: BillingWorld) -> None:
    first, last = days_of(world)
    given: dict[str, Any] = {"from": first, "to": last, "limit": 1}
    cursor = shop.get("/provisioning/usage", given).json()["nextCursor"]
    for other in ({"group": "user"}, {"interval": "day"}, {"tz": "Asia/Kathmandu"}, {"to": first}):
        assert shop.get("/provisioning/usage", {**given, "cursor": cursor, **other}).status_code == 400
    assert shop.get("/provisioning/orders", {"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("format_", ["json", "ndjson", "csv"])
def test_without_clickhouse_every_format_answers_503(format_: str, shop: APIClient, order: Order) -> None:
    with engine_unavailable():
        answer = shop.get("/provisioning/usage", {"from": LAST_MONTH[0], "to": LAST_MONTH[1], "format": format_})
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert answer.json()["message"]


def test_orders_without_usage_cost_few_statements(
    shop: APIClient,
    alice: User,
    make_order: Callable[..., Order],
    clean_engine: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = [make_order(alice) for _ in range(60)]
    carry(orders[-1], timezone.now(), 1000)
    asked: list[OrderKey] = []

    def counted(periods: Any, detail: Any, first: OrderKey, *rest: Any) -> Iterator[list[UsageSum]]:
        asked.append(first)
        return sums(periods, detail, first, *rest)

    sums = billing.sums
    monkeypatch.setattr(billing, "sums", counted)
    today = timezone.now().date()
    # By day of a year two orders fill the first statement; if it found nothing, the next one takes four.
    [row] = pages(shop, today - timedelta(days=364), today, interval="day", group="order")
    assert (row["bytesSent"] + row["bytesReceived"], len(asked)) == (1000, 5)
