"""The graph and the breakdown of section 4 of the contract, against a model in plain Python."""

from __future__ import annotations

import json
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from rest_framework.test import APIClient

from accounts.models import Network, Order, User
from analytics.graph.params import GraphParams, Preset, period_of
from analytics.graph.queries import Filters
from analytics.graph.reads import Reader
from analytics.graph.sources import Asked, Dimension, Width, sources
from analytics.log.rows import to_request_inbox
from analytics.traffic.rows import to_inbox
from fonproxy.api.errors import OutOfRange
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import Client, get_client

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
PREFIXES = ("", "/1.0/public/user")
STAMP = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Sent:
    """A request of the model."""

    at: datetime
    order: Order
    login: str
    hostname: str = "a.example"
    error: str = ""
    size: int = 100
    concurrency: int = 1

    @property
    def network(self) -> str:
        return self.order.product.network


@pytest.fixture
def orders(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> tuple[Order, Order]:
    began = NOW - 800 * DAY
    return (
        make_order(alice, logins=("alice-1", "alice-2"), started_at=began, now=NOW),
        make_order(alice, network=Network.MOBILE, logins=("alice-m",), started_at=began, now=NOW),
    )


def push_raw(requests: Iterable[Sent], now: datetime = NOW) -> None:
    rows = [
        {
            "log_request_datetime": sent.at.isoformat(),
            "proxy_user_id": sent.login,
            "log_hostname": sent.hostname,
            "log_error": sent.error,
            "log_bytes_sent": sent.size // 4,
            "log_bytes_received": sent.size - sent.size // 4,
            "log_concurrency": sent.concurrency,
        }
        for sent in requests
    ]
    table = to_request_inbox(json.dumps({"logs": rows}).encode(), now)
    get_client().insert("request_inbox", table, token=uuid.uuid4().hex)


def push_added_up(requests: Iterable[Sent], now: datetime = NOW) -> None:
    rows = [
        {
            "ts": sent.at.isoformat(),
            "proxy_user": sent.login,
            "domain": sent.hostname,
            "error": sent.error,
            "count": 1,
            "error_count": int(sent.error != ""),
            "bytes_sent": sent.size // 4,
            "bytes_received": sent.size - sent.size // 4,
            "max_concurrency": sent.concurrency,
        }
        for sent in requests
    ]
    table = to_inbox(json.dumps({"logs": rows}).encode(), now)
    get_client().insert("inbox", table, token=uuid.uuid4().hex)


def graph(api: APIClient, expected: int = 200, /, **query: Any) -> Any:
    answer = api.get("/analytics/graph", query)
    assert answer.status_code == expected, answer.content
    return answer.json()["data"] if expected == 200 else answer.json()


# --- the shape -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
def test_yesterday_by_the_hour(prefix: str, orders: tuple[Order, Order], api: APIClient) -> None:
    at = MIDNIGHT - timedelta(hours=10)
    push_raw([Sent(at, orders[0], "alice-1"), Sent(at, orders[0], "alice-1", error="timeout", concurrency=7)])
    query = {"preset": "yesterday", "interval": "hour", "show_log_concurrency": "true"}
    answer = api.get(f"{prefix}/analytics/graph", query).json()
    assert answer["message"] == "Analytics graph successfully generated."
    data = answer["data"]
    assert {name: data[name] for name in data if name != "graph"} == {
        "period_start": (MIDNIGHT - DAY).strftime(STAMP),
        "period_end": MIDNIGHT.strftime(STAMP),
        "interval": "hour",
        "summary": {"requests": 2, "bytes": 200, "successful": 1, "error": 1},
    }
    assert len(data["graph"]) == 24
    [point] = [point for point in data["graph"] if point["requests"]]
    assert point == {
        "datetime": at.strftime(STAMP),
        "requests": 2,
        "bytes": 200,
        "successful": 1,
        "error": 1,
        "concurrency": 7,
    }


def test_without_a_period_it_is_this_month_up_to_today(orders: tuple[Order, Order], api: APIClient) -> None:
    push_raw([Sent(NOW, orders[0], "alice-1")])
    data = graph(api, interval="day")
    assert data["period_start"] == f"{NOW:%Y-%m}-01 00:00:00"
    assert [point["datetime"][8:10] for point in data["graph"]] == [f"{n:02}" for n in range(1, NOW.day + 1)]
    assert data["graph"][-1] == {
        "datetime": MIDNIGHT.strftime(STAMP),
        "requests": 1,
        "bytes": 100,
        "successful": 1,
        "error": 0,
    }


def test_a_graph_can_be_had_as_csv(orders: tuple[Order, Order], api: APIClient) -> None:
    lines = api.get("/analytics/graph", {"preset": "yesterday", "interval": "day", "format": "csv"}).content.decode()
    assert lines.splitlines() == ["datetime,requests,bytes,successful,error", f"{MIDNIGHT - DAY:{STAMP}},0,0,0,0"]


PRESETS = {
    Preset.TODAY: ("2024-03-10", "2024-03-10"),
    Preset.YESTERDAY: ("2024-03-09", "2024-03-09"),
    Preset.LAST_7_DAYS: ("2024-03-04", "2024-03-10"),
    Preset.LAST_30_DAYS: ("2024-02-10", "2024-03-10"),
    Preset.THIS_MONTH: ("2024-03-01", "2024-03-10"),
    Preset.LAST_MONTH: ("2024-02-01", "2024-02-29"),
}


@pytest.mark.parametrize("preset", Preset)
def test_a_preset_is_whole_days_on_the_clock_of_the_zone(preset: Preset) -> None:
    zone = ZoneInfo("America/New_York")
    now = datetime(2024, 3, 11, 2, 0, tzinfo=UTC)  # the evening of the tenth there
    first, last = (date.fromisoformat(day) for day in PRESETS[preset])
    start, end = period_of(GraphParams.read(QueryDict(f"preset={preset}&tz={zone}")), now)
    assert start == datetime.combine(first, datetime.min.time(), zone)
    assert end == datetime.combine(last + DAY, datetime.min.time(), zone)


# --- the model -------------------------------------------------------------------------------------------------------

# What each table keeps, as the engine is asked at these ages.
AGES = {"hours": timedelta(hours=20), "days": 6 * DAY, "weeks": 60 * DAY, "a year": 380 * DAY}


@pytest.fixture
def carried(orders: tuple[Order, Order]) -> list[Sent]:
    """Requests of all ages that are taken, one by one while they are young enough for that."""
    chance = random.Random(7)
    requests = []
    for age in AGES.values():
        for _ in range(60):
            at = NOW - timedelta(seconds=chance.randrange(int(age.total_seconds())))
            login = chance.choice(("alice-1", "alice-2", "alice-m"))
            requests.append(
                Sent(
                    at,
                    orders[login == "alice-m"],
                    login,
                    hostname=chance.choice(("a.example", "b.example", "")),
                    error=chance.choice(("", "", "timeout")),
                    size=chance.randrange(10**6),
                    concurrency=chance.randrange(50),
                )
            )
    young = NOW - 7 * DAY + timedelta(minutes=1)
    push_raw(sent for sent in requests if sent.at >= young)
    push_added_up(sent for sent in requests if sent.at < young)
    return requests


def oldest(table: str) -> datetime:
    return retention.floor(table, NOW)


def label(at: datetime, width: Width, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    shapes = {
        Width.MINUTE: "%Y-%m-%d %H:%M:00",
        Width.HOUR: "%Y-%m-%d %H:00:00",
        Width.DAY: "%Y-%m-%d 00:00:00",
        Width.MONTH: "%Y-%m-01 00:00:00",
    }
    return local.strftime(shapes[width])


def model(
    requests: Iterable[Sent], start: datetime, end: datetime, width: Width, zone: ZoneInfo
) -> dict[str, tuple[int, ...]]:
    points: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for sent in requests:
        if start <= sent.at < end:
            point = points[label(sent.at, width, zone)]
            point[0] += 1
            point[1] += sent.size
            point[2] += sent.error != ""
            point[3] = max(point[3], sent.concurrency)
    return {name: tuple(point) for name, point in points.items()}


FILTERS: dict[str, frozenset[Dimension]] = {
    "+".join(sorted(chosen)) or "none": frozenset(chosen)
    for bits in product((False, True), repeat=4)
    for chosen in [[dimension for dimension, bit in zip(Dimension, bits, strict=True) if bit]]
}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize("width", Width)
def test_a_graph_is_what_was_carried_or_refused_with_the_finest_that_is_kept(
    width: Width, zone: str, orders: tuple[Order, Order], carried: list[Sent]
) -> None:
    answered = 0
    tz = ZoneInfo(zone)
    for age, chosen in product(AGES.values(), FILTERS.values()):
        like = next(sent for sent in carried if sent.hostname)
        filters = Filters(
            orders[0].user_id,
            order_id=like.order.pk if Dimension.ORDER in chosen else None,
            network=like.network if Dimension.NETWORK in chosen else None,
            proxy_user_id=like.order.proxy_users.get(login=like.login).pk if Dimension.PROXY_USER in chosen else None,
            hostname=like.hostname if Dimension.HOSTNAME in chosen else None,
            orders=(like.order.pk,) if chosen & {Dimension.ORDER, Dimension.NETWORK} else None,
        )
        start = (NOW - age).astimezone(tz).replace(hour=0, minute=0, second=0) + DAY
        start, end = start.astimezone(UTC), max(start, NOW.astimezone(tz).replace(hour=0, minute=0, second=0)) + DAY
        asked = Asked(start, end.astimezone(UTC), width, chosen, zone=tz)
        wanted = [
            sent
            for sent in carried
            if (not chosen & {Dimension.ORDER, Dimension.NETWORK} or sent.order == like.order)
            and (Dimension.PROXY_USER not in chosen or sent.login == like.login)
            and (Dimension.HOSTNAME not in chosen or sent.hostname == like.hostname)
        ]
        if width is Width.MINUTE and age > 7 * DAY:
            continue  # more points than one answer holds
        reader = Reader(filters, NOW)
        if not sources(asked, oldest):
            coarser = (replace(asked, width=other) for other in list(Width)[list(Width).index(width) + 1 :])
            kept = [other.width.value for other in coarser if other.width and sources(other, oldest)]
            with pytest.raises(OutOfRange) as refusal:
                reader.graph(asked, with_concurrency=True)
            assert (kept[0] if kept else "not kept for so long") in refusal.value.errors[0].message
            continue
        data = reader.graph(asked, with_concurrency=True)
        answered += 1
        expected = model(wanted, asked.start, asked.end, width, tz)
        points = {point["datetime"]: point for point in data["graph"]}
        assert {
            name: (point["requests"], point["bytes"], point["error"], point["concurrency"])
            for name, point in points.items()
            if point["requests"]
        } == expected
        assert list(points) == sorted(points)
        assert data["summary"] == {
            "requests": sum(point[0] for point in expected.values()),
            "bytes": sum(point[1] for point in expected.values()),
            "successful": sum(point[0] - point[2] for point in expected.values()),
            "error": sum(point[2] for point in expected.values()),
        }
    assert answered >= 16


def test_one_by_one_or_added_up_makes_no_difference(orders: tuple[Order, Order], api: APIClient) -> None:
    requests = [
        Sent(NOW - timedelta(minutes=n), orders[0], "alice-1", hostname=f"{n % 2}.example", error="x" * (n % 3 == 0))
        for n in range(30)
    ]
    queries: list[dict[str, Any]] = [{"interval": width, "preset": "last_7_days"} for width in ("hour", "day", "month")]
    queries += [{**query, "hostname": "1.example", "show_log_concurrency": "true"} for query in queries]
    start = (NOW - timedelta(hours=2)).strftime(STAMP)
    queries += [{"interval": "minute", "period_start": start}]

    def everything() -> list[Any]:
        breakdown = api.get("/analytics/breakdown", {"preset": "last_7_days"}).json()
        return [graph(api, **query) for query in queries] + [breakdown]

    push_raw(requests)
    one_by_one = everything()
    for table in retention.declared():
        get_client().command(f"TRUNCATE TABLE {table}", tag="tests")
    push_added_up(requests)
    assert everything() == one_by_one


def test_minutes_come_from_the_log_only_if_it_holds_all_that_was_carried(
    orders: tuple[Order, Order], api: APIClient
) -> None:
    day = MIDNIGHT - 3 * DAY
    query = {"period_start": f"{day:%Y-%m-%d}", "period_end": f"{day:%Y-%m-%d}", "interval": "minute"}
    push_raw([Sent(day + timedelta(hours=5), orders[0], "alice-1")])
    assert graph(api, **query)["summary"]["requests"] == 1
    assert len(graph(api, **query)["graph"]) == 1440
    push_added_up([Sent(day + timedelta(hours=7), orders[0], "alice-1")])
    assert "hour" in graph(api, 422, **query)["message"]
    assert graph(api, **query, service_id=orders[1].published_id)["summary"]["requests"] == 0
    assert graph(api, **{**query, "interval": "hour"})["summary"]["requests"] == 2


# --- the breakdown ---------------------------------------------------------------------------------------------------


def test_a_breakdown_lists_who_carried_what(orders: tuple[Order, Order], carried: list[Sent], api: APIClient) -> None:
    query = {"period_start": f"{NOW - 50 * DAY:%Y-%m-%d}", "period_end": f"{NOW:%Y-%m-%d}"}
    data = api.get("/analytics/breakdown", query).json()["data"]
    start = MIDNIGHT - 50 * DAY
    wanted = [sent for sent in carried if start <= sent.at]
    for name, key in (("hostnames", "hostname"), ("networks", "network"), ("proxy_users", "login")):
        field = {"login": "proxy_user_id"}.get(key, key)
        expected: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for sent in wanted:
            group = expected[getattr(sent, key)]
            group[0] += 1
            group[1] += sent.size
            group[2] += sent.error != ""
        assert {row[field]: [row["requests"], row["bytes"], row["error"]] for row in data[name]} == expected
        assert [row["requests"] for row in data[name]] == sorted((g[0] for g in expected.values()), reverse=True)
    assert data["summary"]["requests"] == len(wanted)


def test_a_breakdown_lists_only_what_is_asked_for_sorted_and_cut(
    orders: tuple[Order, Order], carried: list[Sent], api: APIClient
) -> None:
    query = {"preset": "last_30_days", "return_hostnames": "true", "sort_by": "bytes_asc", "limit": "2"}
    data = api.get("/analytics/breakdown", query).json()["data"]
    assert set(data) == {"period_start", "period_end", "summary", "hostnames"}
    sizes = [row["bytes"] for row in data["hostnames"]]
    assert len(sizes) == 2
    assert sizes == sorted(sizes)
    csv = api.get("/analytics/breakdown", {**query, "format": "csv"}).content.decode().splitlines()
    assert csv[0] == "hostname,requests,bytes,successful,error"
    assert len(csv) == 3


# --- what is refused -------------------------------------------------------------------------------------------------

HOSTILE: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown preset": ({"preset": "last_week"}, 422, "preset"),
    "unknown interval": ({"interval": "second"}, 422, "interval"),
    "unknown network": ({"network": "satellite"}, 422, "network"),
    "no time": ({"period_start": "then"}, 400, "period_start"),
    "no truth": ({"show_log_concurrency": "perhaps"}, 400, "show_log_concurrency"),
    "twice": ({"interval": ["day", "hour"]}, 400, "interval"),
    "both": ({"preset": "today", "period_start": "2026-01-01"}, 400, "preset"),
    "an end alone": ({"period_end": "2026-01-01"}, 400, "period_start"),
    "backwards": ({"period_start": "2026-01-02", "period_end": "2026-01-01 00:00:00"}, 400, "period_end"),
    "a start in the future": ({"period_start": "2099-01-01"}, 400, "period_end"),
    "too many points": ({"period_start": "2020-01-01", "interval": "hour"}, 400, "interval"),
    "unknown zone": ({"tz": "Mars/Olympus"}, 400, "tz"),
    "minutes of last month": ({"preset": "last_month", "interval": "minute"}, 400, "interval"),
    "host names of long ago": ({"period_start": "2020-01-01", "hostname": "a"}, 422, "period_start"),
}


@pytest.mark.parametrize(("query", "status", "named"), HOSTILE.values(), ids=HOSTILE)
def test_a_graph_refuses(
    query: dict[str, Any], status: int, named: str, orders: tuple[Order, Order], api: APIClient
) -> None:
    assert named in graph(api, status, **query)["message"]


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [({"sort_by": "name"}, 422, "sort_by"), ({"limit": "101"}, 422, "limit"), ({"limit": "many"}, 400, "limit")],
)
def test_a_breakdown_refuses(
    query: dict[str, Any], status: int, named: str, orders: tuple[Order, Order], api: APIClient
) -> None:
    answer = api.get("/analytics/breakdown", query)
    assert answer.status_code == status
    assert named in answer.json()["message"]


def test_a_period_that_ends_in_another_century_costs_no_more(orders: tuple[Order, Order], api: APIClient) -> None:
    push_raw([Sent(NOW, orders[0], "alice-1")])
    query = {"period_start": f"{NOW:%Y-%m-%d}", "period_end": "2100-12-31"}
    data = graph(api, **query, interval="minute")
    assert data["summary"]["requests"] == 1
    assert len(data["graph"]) <= 1440
    later = {"period_start": "2090-01-01", "period_end": "2100-12-31"}
    assert graph(api, **later, interval="hour")["graph"] == []


def test_the_hour_that_clocks_show_twice_is_two_points(orders: tuple[Order, Order]) -> None:
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)  # from 03:00 back to 02:00 in Berlin
    now = change + timedelta(days=20)
    requests = [Sent(change + timedelta(minutes=minutes), orders[0], "alice-1") for minutes in (-30, 30, 40)]
    push_added_up(requests, now)
    start = change - timedelta(hours=3)
    asked = Asked(start, start + timedelta(hours=5), Width.HOUR, zone=ZoneInfo("Europe/Berlin"))
    data = Reader(Filters(orders[0].user_id), now).graph(asked, with_concurrency=False)
    assert [(point["datetime"][11:13], point["requests"]) for point in data["graph"]] == [
        ("00", 0),
        ("01", 0),
        ("02", 1),
        ("02", 2),
        ("03", 0),
    ]
    assert data["summary"]["requests"] == 3


def test_an_order_of_another_network_carried_nothing_there(orders: tuple[Order, Order], api: APIClient) -> None:
    push_raw([Sent(NOW, orders[0], "alice-1")])
    for interval in ("minute", "hour", "day"):
        query = {"preset": "today", "interval": interval, "service_id": orders[0].published_id}
        assert graph(api, **query, network="residential")["summary"]["requests"] == 1
        assert graph(api, **query, network="mobile")["summary"]["requests"] == 0


@pytest.mark.parametrize("tz", ["UTC", "Etc/UTC", "Zulu", "GMT"])
def test_utc_goes_by_many_names(tz: str, orders: tuple[Order, Order], api: APIClient) -> None:
    query = {"period_start": "2024-01-01", "period_end": "2024-01-31", "proxy_user_id": "alice-1"}
    assert len(graph(api, **query, interval="day", tz=tz)["graph"]) == 31


def test_a_minute_at_the_end_of_the_log_is_told_whole_or_not_at_all(orders: tuple[Order, Order]) -> None:
    filters = Filters(orders[0].user_id, hostname="a.example")
    for age, kept in ((timedelta(days=7), False), (timedelta(days=7) - timedelta(minutes=16), True)):
        start = (NOW - age).replace(second=0)
        asked = Asked(start, start + timedelta(minutes=1), Width.MINUTE, filters.dimensions)
        assert [source.table for source in sources(asked, oldest) if source.is_log] == ["requests"] * kept


def test_lists_that_are_not_kept_are_left_out_unless_they_are_asked_for(
    orders: tuple[Order, Order], api: APIClient
) -> None:
    query = {"period_start": "2020-01-01", "period_end": "2020-01-31"}
    assert {"networks", "proxy_users"} == set(api.get("/analytics/breakdown", query).json()["data"]) & {
        "hostnames",
        "networks",
        "proxy_users",
    }
    assert api.get("/analytics/breakdown", {**query, "return_hostnames": "true"}).status_code == 422
    few = api.get("/analytics/breakdown", {"preset": "today", "return_networks": "false"}).json()["data"]
    assert "networks" not in few
    assert "hostnames" in few


def test_an_equal_start_and_end_is_an_empty_graph(orders: tuple[Order, Order], api: APIClient) -> None:
    moment = "2026-01-01 00:00:00"
    assert graph(api, period_start=moment, period_end=moment)["graph"] == []
    assert (
        api.get("/analytics/breakdown", {"period_start": moment, "period_end": moment}).json()["data"]["hostnames"]
        == []
    )


def test_what_is_somebody_else_s_is_not_found(
    orders: tuple[Order, Order], api: APIClient, bob: User, make_order: Callable[..., Order]
) -> None:
    theirs = make_order(bob, logins=("bob-1",))
    for path in ("graph", "breakdown"):
        for query in ({"service_id": theirs.published_id}, {"proxy_user_id": "bob-1"}, {"service_id": "nonsense"}):
            assert api.get(f"/analytics/{path}", query).status_code == 404
