"""Graphs and breakdowns of requests of all ages, against a model in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from analytics.byteful.graph.queries import Filters
from analytics.byteful.graph.reads import GraphReader
from analytics.byteful.graph.sources import Dimension, GraphInterval, GraphRequest, sources
from fonproxy.api.errors import OutOfRange
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import Client
from orders.models import Network, Order
from tests.contract.carried import Sent, push_added_up, push_raw
from tests.contract.present import NOW
from tests.orders.helpers import bought
from tests.thoroughness import drawn, examples

DAY = timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)

# What each table keeps when the engine is queried at these ages.
AGES = {"hours": timedelta(hours=20), "days": 6 * DAY, "weeks": 60 * DAY, "a year": 380 * DAY}


@pytest.fixture(scope="module")
def alice(module_db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture(scope="module")
def orders(alice: User, module_engine: Client) -> tuple[Order, Order]:
    began = NOW - 800 * DAY
    return (
        bought(alice, logins=("alice-1", "alice-2"), started_at=began, now=NOW),
        bought(alice, network=Network.MOBILE, logins=("alice-m",), started_at=began, now=NOW),
    )


@pytest.fixture(scope="module")
def carried(orders: tuple[Order, Order]) -> list[Sent]:
    """Requests of all accepted ages, pushed singly if they are young enough."""
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


def label(at: datetime, width: GraphInterval, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    shapes = {
        GraphInterval.MINUTE: "%Y-%m-%d %H:%M:00",
        GraphInterval.HOUR: "%Y-%m-%d %H:00:00",
        GraphInterval.DAY: "%Y-%m-%d 00:00:00",
        GraphInterval.MONTH: "%Y-%m-01 00:00:00",
    }
    return local.strftime(shapes[width])


def model(
    requests: Iterable[Sent], start: datetime, end: datetime, width: GraphInterval, zone: ZoneInfo
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


@drawn
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize("width", GraphInterval)
def test_a_graph_equals_the_traffic_or_is_refused_with_the_finest_interval_kept(
    width: GraphInterval, zone: str, orders: tuple[Order, Order], carried: list[Sent]
) -> None:
    answered = 0
    tz = ZoneInfo(zone)
    tried = random.Random(f"{width} {zone}").sample(list(FILTERS.values()), examples(len(FILTERS)))
    for age, chosen in product(AGES.values(), tried):
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
        asked = GraphRequest(start, end.astimezone(UTC), width, chosen, zone=tz)
        wanted = [
            sent
            for sent in carried
            if (not chosen & {Dimension.ORDER, Dimension.NETWORK} or sent.order == like.order)
            and (Dimension.PROXY_USER not in chosen or sent.login == like.login)
            and (Dimension.HOSTNAME not in chosen or sent.hostname == like.hostname)
        ]
        if width is GraphInterval.MINUTE and age > 7 * DAY:
            continue  # more points than a response may have
        reader = GraphReader(filters, NOW)
        if not sources(asked, oldest):
            coarser = (
                replace(asked, width=other) for other in list(GraphInterval)[list(GraphInterval).index(width) + 1 :]
            )
            kept = [other.width.value for other in coarser if other.width and sources(other, oldest)]
            with pytest.raises(OutOfRange) as refusal:
                reader.graph(asked, with_concurrency=True)
            assert (kept[0] if kept else "not kept for that long") in refusal.value.errors[0].message
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
    assert answered >= examples(16)


# --- the breakdown ---------------------------------------------------------------------------------------------------


def test_a_breakdown_lists_traffic_by_its_source(
    orders: tuple[Order, Order], carried: list[Sent], api: APIClient
) -> None:
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


def test_a_breakdown_returns_only_the_requested_lists_sorted_and_cut(
    orders: tuple[Order, Order], carried: list[Sent], api: APIClient
) -> None:
    query = {"preset": "last_30_days", "return_hostnames": "true", "sort_by": "bytes_asc", "limit": "2"}
    data = api.get("/analytics/breakdown", query).json()["data"]
    assert set(data) == {"period_start", "period_end", "summary", "hostnames"}
    sizes = [row["bytes"] for row in data["hostnames"]]
    assert len(sizes) == 2
    assert sizes == sorted(sizes)
    for sort in ("bytes", "bytes_desc"):
        data = api.get("/analytics/breakdown", {**query, "sort_by": sort, "limit": "100"}).json()["data"]
        sizes = [row["bytes"] for row in data["hostnames"]]
        assert len(set(sizes)) > 1
        assert sizes == sorted(sizes, reverse=True), sort
    csv = api.get("/analytics/breakdown", {**query, "format": "csv"}).content.decode("utf-8-sig").splitlines()
    assert csv[0] == "hostname,requests,bytes,successful,error"
    assert len(csv) == 3
