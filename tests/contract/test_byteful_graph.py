"""The graph and the breakdown of section 4 of the contract."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from rest_framework.test import APIClient

from accounts.models import User
from analytics.byteful.graph.params import GraphParams, Preset, period_of
from analytics.byteful.graph.queries import Filters
from analytics.byteful.graph.reads import GraphReader
from analytics.byteful.graph.sources import GraphInterval, GraphRequest, sources
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import Client, get_client
from orders.models import Network, Order
from tests.contract.carried import Sent, push_added_up, push_raw
from tests.contract.present import NOW

DAY = timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
PREFIXES = ("", "/1.0/public/user")
STAMP = "%Y-%m-%d %H:%M:%S"


@pytest.fixture
def orders(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> tuple[Order, Order]:
    began = NOW - 800 * DAY
    return (
        make_order(alice, logins=("alice-1", "alice-2"), started_at=began, now=NOW),
        make_order(alice, network=Network.MOBILE, logins=("alice-m",), started_at=began, now=NOW),
    )


def oldest(table: str) -> datetime:
    return retention.floor(table, NOW)


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
    lines = api.get("/analytics/graph", {"preset": "yesterday", "interval": "day", "format": "csv"}).content.decode(
        "utf-8-sig"
    )
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
def test_a_preset_covers_whole_local_days(preset: Preset) -> None:
    zone = ZoneInfo("America/New_York")
    now = datetime(2024, 3, 11, 2, 0, tzinfo=UTC)  # the evening of the tenth there
    first, last = (date.fromisoformat(day) for day in PRESETS[preset])
    start, end = period_of(GraphParams.read(QueryDict(f"preset={preset}&tz={zone}")), now)
    assert start == datetime.combine(first, datetime.min.time(), zone)
    assert end == datetime.combine(last + DAY, datetime.min.time(), zone)


def test_single_requests_and_sums_give_the_same_graph(orders: tuple[Order, Order], api: APIClient) -> None:
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


def test_minutes_come_from_the_log_only_if_it_is_complete(orders: tuple[Order, Order], api: APIClient) -> None:
    day = MIDNIGHT - 3 * DAY
    query = {"period_start": f"{day:%Y-%m-%d}", "period_end": f"{day:%Y-%m-%d}", "interval": "minute"}
    push_raw([Sent(day + timedelta(hours=5), orders[0], "alice-1")])
    assert graph(api, **query)["summary"]["requests"] == 1
    assert len(graph(api, **query)["graph"]) == 1440
    push_added_up([Sent(day + timedelta(hours=7), orders[0], "alice-1")])
    assert "hour" in graph(api, 422, **query)["message"]
    assert graph(api, **query, service_id=orders[1].published_id)["summary"]["requests"] == 0
    assert graph(api, **{**query, "interval": "hour"})["summary"]["requests"] == 2


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
def test_a_bad_graph_query_is_refused(
    query: dict[str, Any], status: int, named: str, orders: tuple[Order, Order], api: APIClient
) -> None:
    assert named in graph(api, status, **query)["message"]


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [({"sort_by": "name"}, 422, "sort_by"), ({"limit": "101"}, 422, "limit"), ({"limit": "many"}, 400, "limit")],
)
def test_a_bad_breakdown_query_is_refused(
    query: dict[str, Any], status: int, named: str, orders: tuple[Order, Order], api: APIClient
) -> None:
    answer = api.get("/analytics/breakdown", query)
    assert answer.status_code == status
    assert named in answer.json()["message"]


@pytest.mark.parametrize(
    "name",
    ["proxy_id", "log_network", "log_transport", "country_id", "like_hostname", "not_proxy_user_id", "proxy_id[]"],
)
@pytest.mark.parametrize("route", ["graph", "breakdown"])
def test_filters_that_would_be_ignored_are_refused_by_name(
    route: str, name: str, orders: tuple[Order, Order], api: APIClient
) -> None:
    answer = api.get(f"/analytics/{route}", {name: "a"})
    assert (answer.status_code, f"{name}:" in answer.json()["message"]) == (422, True)
    assert api.get(f"/analytics/{route}", {name: "", "anything": "else"}).status_code == 200


def test_a_period_that_ends_in_another_century_costs_no_more(orders: tuple[Order, Order], api: APIClient) -> None:
    push_raw([Sent(NOW, orders[0], "alice-1")])
    query = {"period_start": f"{NOW:%Y-%m-%d}", "period_end": "2100-12-31"}
    data = graph(api, **query, interval="minute")
    assert data["summary"]["requests"] == 1
    assert len(data["graph"]) <= 1440
    later = {"period_start": "2090-01-01", "period_end": "2100-12-31"}
    assert graph(api, **later, interval="hour")["graph"] == []


def test_the_repeated_hour_is_two_points(orders: tuple[Order, Order]) -> None:
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)  # from 03:00 back to 02:00 in Berlin
    now = change + timedelta(days=20)
    requests = [Sent(change + timedelta(minutes=minutes), orders[0], "alice-1") for minutes in (-30, 30, 40)]
    push_added_up(requests, now)
    start = change - timedelta(hours=3)
    asked = GraphRequest(start, start + timedelta(hours=5), GraphInterval.HOUR, zone=ZoneInfo("Europe/Berlin"))
    data = GraphReader(Filters(orders[0].user_id), now).graph(asked, with_concurrency=False)
    assert [(point["datetime"][11:13], point["requests"]) for point in data["graph"]] == [
        ("00", 0),
        ("01", 0),
        ("02", 1),
        ("02", 2),
        ("03", 0),
    ]
    assert data["summary"]["requests"] == 3


def test_an_order_of_another_network_has_no_traffic_there(orders: tuple[Order, Order], api: APIClient) -> None:
    push_raw([Sent(NOW, orders[0], "alice-1")])
    for interval in ("minute", "hour", "day"):
        query = {"preset": "today", "interval": interval, "service_id": orders[0].published_id}
        assert graph(api, **query, network="residential")["summary"]["requests"] == 1
        assert graph(api, **query, network="mobile")["summary"]["requests"] == 0


@pytest.mark.parametrize("tz", ["UTC", "Etc/UTC", "Zulu", "GMT"])
def test_every_name_of_utc_is_accepted(tz: str, orders: tuple[Order, Order], api: APIClient) -> None:
    query = {"period_start": "2024-01-01", "period_end": "2024-01-31", "proxy_user_id": "alice-1"}
    assert len(graph(api, **query, interval="day", tz=tz)["graph"]) == 31


def test_a_minute_at_the_end_of_the_log_is_complete_or_omitted(orders: tuple[Order, Order]) -> None:
    filters = Filters(orders[0].user_id, hostname="a.example")
    for age, kept in ((timedelta(days=7), False), (timedelta(days=7) - timedelta(minutes=16), True)):
        start = (NOW - age).replace(second=0)
        asked = GraphRequest(start, start + timedelta(minutes=1), GraphInterval.MINUTE, filters.dimensions)
        assert [source.table for source in sources(asked, oldest) if source.is_log] == ["requests"] * kept


def test_unstored_lists_are_omitted_unless_requested(orders: tuple[Order, Order], api: APIClient) -> None:
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


def test_another_accounts_objects_are_not_found(
    orders: tuple[Order, Order], api: APIClient, bob: User, make_order: Callable[..., Order]
) -> None:
    theirs = make_order(bob, logins=("bob-1",))
    for path in ("graph", "breakdown"):
        for query in ({"service_id": theirs.published_id}, {"service_id": "nonsense"}):
            assert api.get(f"/analytics/{path}", query).status_code == 404


@pytest.mark.parametrize("login", ["bob-1", "nobody", "nobody\0"])
def test_a_login_of_another_account_has_no_traffic(
    login: str, orders: tuple[Order, Order], api: APIClient, bob: User, make_order: Callable[..., Order]
) -> None:
    make_order(bob, logins=("bob-1",))
    for path in ("graph", "breakdown"):
        answer = api.get(f"/analytics/{path}", {"proxy_user_id": login, "preset": "today"})
        assert answer.status_code == 200
        assert answer.json()["data"]["summary"] == {"requests": 0, "bytes": 0, "successful": 0, "error": 0}
