"""The examples of the published WeProxies usage reference, and the contract's additions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from rest_framework.test import APIClient

from accounts.models import User
from analytics.models import IngestBatch
from fonproxy.clickhouse.client import Client
from orders import services as order_services
from orders.models import Order
from tests.analytics.helpers import push
from tests.contract.present import NOW
from tests.usage.helpers import carry, carry_and_post
from usage import metering

GB = 2**30
DAY = timedelta(days=1)
TODAY = NOW.replace(hour=0, minute=0, second=0)
MONTH = TODAY.replace(day=1)


@pytest.fixture
def api(alice: User, client_for: Callable[..., APIClient]) -> APIClient:
    return client_for(alice)


@pytest.fixture
def staff_api(staff: User, client_for: Callable[..., APIClient]) -> APIClient:
    return client_for(staff)


def get(api: APIClient, path: str, expected: int = 200, /, **query: Any) -> Any:
    answer = api.get(f"/api/v1/{path}", query)
    assert answer.status_code == expected, answer.content
    body = answer.json()
    assert body["success"] is (expected == 200)
    return body["data"] if expected == 200 else body["error"]


def row(order: Order, at: datetime, country: str, requests: int, size: int, errors: int = 0, **more: Any) -> Any:
    return {
        "ts": f"{at:%Y-%m-%d %H:%M:%S}",
        "user_id": order.user_id,
        "order_id": order.pk,
        "country": country,
        "count": requests,
        "bytes_received": size,
        "error_count": errors,
        **more,
    }


@pytest.fixture
def documented(
    alice: User, make_order: Callable[..., Order], staff_api: APIClient, clean_engine: Client
) -> tuple[Order, Order]:
    """The data behind the reference's example of a summary."""
    ten, five = make_order(alice, limit=10 * GB), make_order(alice, limit=5 * GB)
    rows = [
        row(ten, MONTH, "US", 50_000, 2_147_483_648, 1000),
        row(ten, MONTH, "GB", 30_000, 1_288_490_189, 400),
        row(ten, MONTH, "FR", 20_000, 4 * GB - 2_147_483_648 - 1_288_490_189, 200),
        row(five, MONTH, "DE", 25_000, GB, 25),
    ]
    assert push(staff_api, rows).status_code == 204
    return ten, five


def test_the_documented_summary(documented: tuple[Order, Order], api: APIClient) -> None:
    ten, five = documented
    last = (MONTH + 32 * DAY).replace(day=1) - timedelta(seconds=1)
    assert get(api, "usage", period="month") == {
        "period": {"start": f"{MONTH:%Y-%m-%dT00:00:00Z}", "end": f"{last:%Y-%m-%dT23:59:59Z}"},
        "total": {"bytes_used": 5_368_709_120, "gb_used": 5.0, "requests": 125_000, "success_rate": 98.7},
        "by_subscription": [
            {
                "subscription_id": f"sub_{order.published_id}",
                "product_name": "residential product",
                "bytes_used": gigabytes * GB,
                "gb_used": float(gigabytes),
                "requests": requests,
            }
            for order, gigabytes, requests in ((ten, 4, 100_000), (five, 1, 25_000))
        ],
        "by_country": [
            {"country": "US", "requests": 50_000, "bytes": 2_147_483_648},
            {"country": "GB", "requests": 30_000, "bytes": 1_288_490_189},
            {"country": "DE", "requests": 25_000, "bytes": 1_073_741_824},
            {"country": "FR", "requests": 20_000, "bytes": 858_993_459},
        ],
    }
    assert get(api, "usage") == get(api, "usage", period="month")
    one = get(api, f"subscriptions/sub_{five.published_id}/usage")
    assert (one["total"]["requests"], one["by_subscription"][0]["gb_used"], len(one["by_country"])) == (25_000, 1.0, 1)


def test_the_documented_countries(documented: tuple[Order, Order], api: APIClient) -> None:
    # The reference has no maximum number of countries.
    assert len(get(api, "usage/by-country", limit=10_000)["countries"]) == 4
    found = get(api, "usage/by-country", limit=3)
    assert found["countries"] == [
        {
            "country_code": code,
            "country_name": name,
            "requests": requests,
            "bytes": size,
            "percentage": percentage,
        }
        for code, name, requests, size, percentage in (
            ("US", "United States", 50_000, 2_147_483_648, 40.0),
            ("GB", "United Kingdom", 30_000, 1_288_490_189, 24.0),
            ("DE", "Germany", 25_000, 1_073_741_824, 20.0),
        )
    ]
    assert get(api, "usage/by-country", start_date="2001-01-01", end_date="2001-02-01") == {"countries": []}


def test_the_history_has_every_bucket(documented: tuple[Order, Order], api: APIClient) -> None:
    ten, _ = documented
    first, last = MONTH.date(), (MONTH + 9 * DAY).date()
    found = get(api, "usage/history", start_date=first, end_date=last, granularity="daily")
    assert found["period"] == {"start": f"{first}T00:00:00Z", "end": f"{last}T23:59:59Z"}
    assert found["granularity"] == "daily"
    zero = {"bytes": 0, "requests": 0, "success_rate": 100.0}
    assert found["data_points"] == [
        {"timestamp": f"{first}T00:00:00Z", "bytes": 5 * GB, "requests": 125_000, "success_rate": 98.7},
        *({"timestamp": f"{(MONTH + n * DAY).date()}T00:00:00Z", **zero} for n in range(1, 10)),
    ]
    only = get(api, "usage/history", start_date=first, end_date=first, subscription_id=f"sub_{ten.published_id}")
    assert only["data_points"][0]["requests"] == 100_000
    assert len(get(api, "usage/history")["data_points"]) == 30


def test_the_default_start_depends_on_the_requested_end(api: APIClient, engine: Client) -> None:
    for end in ("2026-10-31", "2026-11-01T00:00:00Z"):
        found = get(api, "usage/history", end_date=end)
        assert (len(found["data_points"]), found["period"]["start"]) == (30, "2026-10-02T00:00:00Z")
    assert get(api, "usage/history", end_date="2000-01-05")["period"]["start"] == "2000-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("granularity", "start", "end", "labels"),
    [
        ("hourly", "2026-03-01T10:20:00", "2026-03-01T12:00:00", ["2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"]),
        ("weekly", "2024-02-28", "2024-03-05", ["2024-02-26T00:00:00Z", "2024-03-04T00:00:00Z"]),
        ("monthly", "2024-01-31", "2024-03-01", [f"2024-0{n}-01T00:00:00Z" for n in (1, 2, 3)]),
        ("daily", "2024-02-28", "2024-03-01", [f"2024-{day}T00:00:00Z" for day in ("02-28", "02-29", "03-01")]),
        ("daily", "2024-02-28T10:00:00Z", "2024-02-28T10:00:00Z", []),
    ],
)
def test_history_buckets_start_at_hours_days_mondays_and_first_days_of_months(
    granularity: str, start: str, end: str, labels: list[str], api: APIClient
) -> None:
    found = get(api, "usage/history", start_date=start, end_date=end, granularity=granularity)
    assert [point["timestamp"] for point in found["data_points"]] == labels


def test_history_labels_are_in_the_requested_zone(api: APIClient, engine: Client) -> None:
    query = {"start_date": "2026-03-28", "end_date": "2026-03-29", "tz": "Europe/Berlin"}
    found = get(api, "usage/history", **query)
    assert [point["timestamp"] for point in found["data_points"]] == [
        "2026-03-28T00:00:00+01:00",
        "2026-03-29T00:00:00+01:00",
    ]
    hours = get(api, "usage/history", granularity="hourly", **query)["data_points"]
    assert (hours[0]["timestamp"], hours[-1]["timestamp"]) == ("2026-03-28T00:00:00+01:00", "2026-03-29T23:00:00+02:00")
    assert len(hours) == 47


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_periods_are_whole_local_periods_that_contain_now(
    zone: str, documented: tuple[Order, Order], api: APIClient
) -> None:
    now = datetime.now(ZoneInfo(zone))
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow, monday, first = today + DAY, today - DAY * today.weekday(), today.replace(day=1)
    expected = {
        "today": (today, tomorrow),
        "week": (monday, monday + 7 * DAY),
        "month": (first, (first + 32 * DAY).replace(day=1)),
        "all": (MONTH.astimezone(ZoneInfo(zone)), tomorrow),
    }
    with time_machine.travel(now, tick=False):
        for period, (start, end) in expected.items():
            found = get(api, "usage", period=period, tz=zone)
            assert found["period"] == {"start": stamp(start), "end": stamp(end - timedelta(seconds=1))}, period
    assert found["total"]["requests"] == 125_000


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def test_an_account_without_anything_has_zeros(api: APIClient, clean_engine: Client) -> None:
    for period in ("today", "week", "month", "all"):
        found = get(api, "usage", period=period)
        assert found["total"] == {"bytes_used": 0, "gb_used": 0.0, "requests": 0, "success_rate": 100.0}
        assert (found["by_subscription"], found["by_country"]) == ([], [])
    assert get(api, "subscriptions") == []


def test_the_realtime_view_adds_up_workers(
    alice: User, make_order: Callable[..., Order], api: APIClient, staff_api: APIClient, clean_engine: Client
) -> None:
    order = make_order(alice)
    now = datetime.now(UTC).replace(second=30, microsecond=0) + timedelta(minutes=1)
    before = now - timedelta(minutes=1)

    def report(at: datetime, worker: int, country: str = "US", connections: int = 5) -> Any:
        return row(order, at, country, 1, 100, worker=f"w{worker}", max_concurrency=connections, duration_ms=300)

    # Five of ten workers have reported in this minute, two of them in another country; the others in the one before.
    rows = [report(before, n, connections=4 if n < 5 else 5) for n in range(10)]
    rows += [report(now, n, "DE" if n < 2 else "US") for n in range(5)]
    rows += [report(now, 4)]  # the same connections reported again
    rows += [row(order, now - timedelta(minutes=30), "US", 10, 1000, duration_ms=10_000)]
    rows += [row(order, now - timedelta(minutes=61), "US", 1000, 1000, worker="old", max_concurrency=99)]
    with time_machine.travel(now, tick=False):
        assert push(staff_api, rows).status_code == 204
        found = get(api, "usage/realtime")
    assert found == {
        "timestamp": stamp(now),
        "current_minute": {"requests": 6, "bytes": 600, "active_sessions": 50},
        "last_hour": {"requests": 26, "bytes": 2600, "avg_response_time_ms": round((16 * 300 + 10_000) / 26)},
        "active_connections": {"total": 50, "by_country": {"US": 40, "DE": 10}},
    }


def test_subscriptions_are_orders_with_a_limit(
    alice: User, make_order: Callable[..., Order], api: APIClient, clean_engine: Client
) -> None:
    order = make_order(alice, limit=4 * GB, started_at=NOW - 3 * DAY, now=NOW - 3 * DAY)
    carry_and_post(order, NOW - 2 * DAY, 3 * GB)
    unmetered, nothing = make_order(alice, limit=None), make_order(alice, limit=0)
    [found] = get(api, "subscriptions", status="active")
    assert found == {
        "id": f"sub_{order.published_id}",
        "product": {
            "id": found["product"]["id"],
            "name": "residential product",
            "type": "residential",
            "proxy_type": "residential-giga",
        },
        "status": "active",
        "traffic_limit_gb": 4.0,
        "traffic_used_gb": 3.0,
        "traffic_remaining_gb": 1.0,
        "expires_at": None,
        "created_at": f"{order.created_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    detail = get(api, f"subscriptions/{found['id']}")
    assert detail == {**found, "projected_exhaustion_at": detail["projected_exhaustion_at"]}
    # A gigabyte a day, from the first day on.
    runs_out = datetime.fromisoformat(detail["projected_exhaustion_at"])
    assert timedelta(hours=23) < runs_out - NOW < timedelta(hours=34)
    others = get(api, "subscriptions", metered="false")
    assert {other["id"] for other in others} == {f"sub_{each.published_id}" for each in (unmetered, nothing)}
    assert all(other["traffic_limit_gb"] is other["traffic_remaining_gb"] is None for other in others)
    assert get(api, f"subscriptions/{others[0]['id']}")["projected_exhaustion_at"] is None


@pytest.mark.parametrize("limit", [1, GB // 250])
def test_no_limit_is_so_small_that_clients_cannot_divide_by_it(
    limit: int, alice: User, make_order: Callable[..., Order], api: APIClient
) -> None:
    make_order(alice, limit=limit)
    [found] = get(api, "subscriptions", status="active")
    # Like the reference's monitoring script.
    assert (found["traffic_used_gb"] / found["traffic_limit_gb"]) * 100 == 0
    assert found["traffic_limit_gb"] == 0.01


def test_an_overrun_leaves_nothing_and_a_renewal_begins_at_zero(
    alice: User, make_order: Callable[..., Order], api: APIClient, clean_engine: Client
) -> None:
    order = make_order(alice, limit=GB, started_at=NOW - 3 * DAY, now=NOW - 3 * DAY)
    carry_and_post(order, NOW - 2 * DAY, 2 * GB)
    [found] = get(api, "subscriptions")
    assert (found["traffic_used_gb"], found["traffic_remaining_gb"]) == (2.0, 0.0)
    order_services.renew(order, reference="r", author="shop", now=NOW)
    carry_and_post(order, NOW, GB // 2)
    [found] = get(api, "subscriptions")
    assert (found["traffic_used_gb"], found["traffic_remaining_gb"]) == (0.5, 0.5)
    IngestBatch.objects.update(is_accounted=False)
    assert metering.post_usage(NOW) == 2
    assert get(api, "subscriptions") == [found]


def test_a_suspended_order_that_has_expired_is_listed_as_expired_alone(
    alice: User, make_order: Callable[..., Order], api: APIClient
) -> None:
    order = make_order(alice, limit=GB, suspended_at=NOW - 2 * DAY, expires_at=NOW - DAY)
    listed = {status: get(api, "subscriptions", status=status) for status in ("active", "suspended", "expired")}
    [found] = listed["expired"]
    assert (found["id"], found["status"]) == (f"sub_{order.published_id}", "expired")
    assert listed["active"] == listed["suspended"] == []


def test_all_time_covers_rows_that_lie_ahead(
    alice: User, make_order: Callable[..., Order], api: APIClient, clean_engine: Client
) -> None:
    order = make_order(alice, limit=GB)
    ahead = NOW + timedelta(hours=23)
    carry(order, ahead, 100)
    found = get(api, "usage", period="all")
    assert found["total"]["bytes_used"] == 100
    assert found["period"]["end"] == f"{ahead:%Y-%m-%d}T23:59:59Z"


def test_subscriptions_are_filtered_and_paged(alice: User, make_order: Callable[..., Order], api: APIClient) -> None:
    make_order(alice, limit=GB)
    make_order(alice, limit=GB, suspended_at=NOW - DAY)
    make_order(alice, limit=GB, expires_at=NOW - DAY)
    for status in ("active", "suspended", "expired"):
        assert [found["status"] for found in get(api, "subscriptions", status=status)] == [status]
    assert len(get(api, "subscriptions", product_type="residential-giga")) == 3
    assert get(api, "subscriptions", product_type="mobile-giga") == []
    make_order(alice, network="mobile", limit=GB)
    for network, number in {"residential": 3, "mobile": 1, "datacenter": 0, "isp": 0}.items():
        found = get(api, "subscriptions", product_type=network)
        assert [each["product"]["type"] for each in found] == [network] * number
    answer = api.get("/api/v1/subscriptions", {"product_type": "residential", "page": "2", "per_page": "2"}).json()
    assert answer["pagination"] == {"page": 2, "per_page": 2, "total": 3, "total_pages": 2}
    assert len(answer["data"]) == 1
    assert api.get("/api/v1/subscriptions", {"page": 9}).json()["data"] == []


def test_me(alice: User, api: APIClient, make_key: Callable[..., str]) -> None:
    expected = {"id": alice.published_id, "username": "alice", "email": "alice@example.com"}
    assert get(api, "me") == expected
    with_key = APIClient()
    with_key.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice)}")
    assert get(with_key, "me") == expected


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("usage", {"period": "year"}, "period"),
        ("usage", {"tz": "Mars"}, "tz"),
        ("usage/by-country", {"limit": "0"}, "limit"),
        ("usage/by-country", {"limit": "-1"}, "limit"),
        ("usage/by-country", {"limit": "x"}, "limit"),
        ("usage/history", {"granularity": "yearly"}, "granularity"),
        ("usage/history", {"start_date": "yesterday"}, "start_date"),
        ("usage/history", {"start_date": "2024-02-30"}, "start_date"),
        ("usage/history", {"start_date": "2024-02-03", "end_date": "2024-02-01"}, "end_date"),
        ("usage/history", {"start_date": "1999-02-03"}, "start_date"),
        ("usage/history", {"start_date": "2099-02-03"}, "start_date"),
        ("usage/history", {"start_date": "2000-01-01", "end_date": "2099-01-01"}, "granularity"),
        (
            "usage/history",
            {"start_date": "2024-01-01", "end_date": "2024-04-01", "granularity": "hourly"},
            "granularity",
        ),
        ("subscriptions", {"status": "gone"}, "status"),
        ("subscriptions", {"per_page": "101"}, "per_page"),
        ("subscriptions", {"page": "0"}, "page"),
        ("subscriptions", {"page": ["1", "2"]}, "page"),
    ],
)
def test_a_bad_parameter_is_named(path: str, query: dict[str, Any], named: str, api: APIClient) -> None:
    error = get(api, path, 400, **query)
    assert error["code"] == "validation_error"
    assert list(error["details"]) == [named]


def test_objects_of_other_accounts_are_not_found(
    bob: User, make_order: Callable[..., Order], api: APIClient, alice: User
) -> None:
    mine, foreign = make_order(alice, limit=GB).published_id, f"sub_{make_order(bob, limit=GB).published_id}"
    for published_id in (foreign, mine, "sub_", "sub_nonsense00", f"alert_{mine}", "%00"):
        assert get(api, f"subscriptions/{published_id}", 404)["code"] == "not_found"
        assert get(api, f"subscriptions/{published_id}/usage", 404)["code"] == "not_found"
    assert get(api, "usage/history", 404, subscription_id=foreign)["code"] == "not_found"
    assert get(api, f"subscriptions/sub_{mine}")["id"] == f"sub_{mine}"


@pytest.mark.parametrize(
    ("path", "header", "rows"),
    [
        ("subscriptions", "id,product.id,product.name,product.type,product.proxy_type,status,traffic_limit_gb", 2),
        ("usage", "subscription_id,product_name,bytes_used,gb_used,requests", 2),
        ("usage/history", "timestamp,bytes,requests,success_rate", 30),
        ("usage/by-country", "country_code,country_name,requests,bytes,percentage", 4),
    ],
)
def test_lists_come_as_csv(path: str, header: str, rows: int, documented: tuple[Order, Order], api: APIClient) -> None:
    lines = api.get(f"/api/v1/{path}", {"format": "csv"}).content.decode("utf-8-sig").splitlines()
    assert lines[0].startswith(header)
    assert len(lines) == rows + 1
