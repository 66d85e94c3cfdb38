"""The daily summaries of section 4 of the contract, on both sides of the ninety days."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from analytics.byteful.summary import reads
from analytics.byteful.summary.queries import FIELDS
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.api.search import Search
from fonproxy.clickhouse.client import Client, get_client
from orders.models import Network, Order
from tests.contract.present import NOW

TODAY = NOW.date()
DAY = timedelta(days=1)
PREFIXES = ("", "/1.0/public/user")
EVERYTHING = Search((), None, is_descending=True, page=1, per_page=100)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, logins=("alice-1", "alice-2"), started_at=NOW - 200 * DAY, now=NOW)


def line(day: date, domain: str, login: str = "alice-1", **changes: Any) -> dict[str, Any]:
    """At noon of that day."""
    ts = min(datetime.combine(day, time(12), UTC), NOW)
    told = {"ts": ts.isoformat(), "proxy_user": login, "domain": domain, "count": 4, "error_count": 1}
    return told | {"bytes_sent": 100, "bytes_received": 900, **changes}


def push_lines(*lines: dict[str, Any], taken: datetime = NOW) -> None:
    table = to_inbox(json.dumps({"logs": lines}).encode(), taken)
    get_client().insert("inbox", table, token=uuid.uuid4().hex)


def push(day: date, domain: str, login: str = "alice-1", taken: datetime = NOW, **changes: Any) -> None:
    """Pushes one line with noon of that day, ingested at that time."""
    push_lines(line(day, domain, login, **changes), taken=taken)


def search(api: APIClient, expected: int = 200, /, **query: Any) -> Any:
    answer = api.get("/log_summary/search", query)
    assert answer.status_code == expected, answer.content
    return answer.json()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_day_at_a_host_is_one_summary_with_the_times_of_its_first_and_last_traffic(
    prefix: str, order: Order, api: APIClient
) -> None:
    yesterday = TODAY - DAY
    push(yesterday, "Shop.example", taken=NOW - timedelta(hours=2))
    push(yesterday, "shop.example", taken=NOW - timedelta(hours=1), count=2, error_count=2)
    page = api.get(f"{prefix}/log_summary/search").json()
    assert {name: page[name] for name in page if name != "data"} == {
        "item_count": 1,
        "message": "Log Summary search successful.",
        "page": 1,
        "per_page": 100,
        "total_count": 1,
    }
    [found] = page["data"]
    assert list(found) == list(FIELDS)
    assert found == {
        "log_summary_id": found["log_summary_id"],
        "proxy_user_id": "alice-1",
        "customer_id": order.user_id,
        "log_summary_network": "residential",
        "log_summary_hostname": "shop.example",
        "log_summary_requests": 6,
        "log_summary_successful": 3,
        "log_summary_error": 3,
        "log_summary_bytes": 2000,
        "log_summary_period": f"{yesterday} 00:00:00",
        "log_summary_creation_datetime": f"{NOW - timedelta(hours=2):%Y-%m-%d %H:%M:%S}",
        "log_summary_last_update_datetime": f"{NOW - timedelta(hours=1):%Y-%m-%d %H:%M:%S}",
    }
    assert uuid.UUID(found["log_summary_id"]).version == 8
    answer = api.get(f"{prefix}/log_summary/retrieve/{found['log_summary_id']}").json()
    assert answer == {"data": found, "message": "Log Summary successfully retrieved."}


def test_host_names_of_a_day_are_dropped_after_ninety_days(order: Order) -> None:
    day = TODAY - 80 * DAY
    push(day, "a.example")
    push(day, "b.example")
    push(day, "b.example", login="alice-2")
    last_moment = datetime.combine(day, time(), UTC) + 90 * DAY
    rows, total = reads.search(order.user_id, EVERYTHING, last_moment)
    assert sorted((row["proxy_user_id"], row["log_summary_hostname"]) for row in rows) == [
        ("alice-1", "a.example"),
        ("alice-1", "b.example"),
        ("alice-2", "b.example"),
    ]
    assert total == 3
    afterwards = last_moment + timedelta(seconds=1)
    rows, total = reads.search(order.user_id, EVERYTHING, afterwards)
    assert sorted(
        (row["proxy_user_id"], row["log_summary_hostname"], row["log_summary_requests"], row["log_summary_bytes"])
        for row in rows
    ) == [("alice-1", "", 8, 2000), ("alice-2", "", 4, 1000)]
    assert total == 2
    assert rows[0]["log_summary_creation_datetime"] == last_moment
    assert (
        rows[0]["log_summary_id"] == reads.find(order.user_id, rows[0]["log_summary_id"], afterwards)["log_summary_id"]
    )


def test_a_summary_s_id_stays_as_long_as_its_row(order: Order, api: APIClient) -> None:
    push(TODAY, "a.example")
    [before] = search(api)["data"]
    push(TODAY, "a.example")
    push(TODAY, "b.example")
    after = api.get(f"/log_summary/retrieve/{before['log_summary_id']}").json()["data"]
    assert after["log_summary_requests"] == 8
    assert {row["log_summary_id"] for row in search(api)["data"]} > {before["log_summary_id"]}


@pytest.fixture
def many(order: Order, alice: User, make_order: Callable[..., Order]) -> Order:
    """Rows distinguished by their requests: 1 to 6 from the oldest, the last of another network."""
    mobile = make_order(alice, network=Network.MOBILE, logins=("alice-m",))
    days = (120, 100, 5, 4, 3, 0)
    hosts = ("old.example", "old.example", "a.example", "a.example", "100%_sure.example", "")
    logins = ("alice-1", "alice-2", "alice-1", "alice-1", "alice-2", "alice-m")
    push_lines(
        *(
            line(TODAY - age * DAY, host, login, count=n, error_count=n // 2, bytes_sent=0, bytes_received=n * 10)
            for n, (age, host, login) in enumerate(zip(days, hosts, logins, strict=True), 1)
        )
    )
    return mobile


def since(age: int) -> str:
    return (TODAY - age * DAY).isoformat()


FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "everything": ({}, [6, 5, 4, 3, 2, 1]),
    "network": ({"log_summary_network": "mobile"}, [6]),
    "not network": ({"not_log_summary_network": "mobile"}, [5, 4, 3, 2, 1]),
    "hostname": ({"log_summary_hostname": "A.example"}, [4, 3]),
    "like": ({"like_log_summary_hostname": "%A%"}, [5, 4, 3]),
    "like an underscore": ({"like_log_summary_hostname": "%_sure%"}, [5]),
    "not hostname": ({"not_log_summary_hostname": "A.example"}, [6, 5, 2, 1]),
    "login": ({"proxy_user_id": "alice-2"}, [5, 2]),
    "like a login": ({"like_proxy_user_id": "%-2"}, [5, 2]),
    "not login": ({"not_proxy_user_id": "alice-2"}, [6, 4, 3, 1]),
    "requests": ({"min_log_summary_requests": "3", "max_log_summary_requests": "5"}, [5, 4, 3]),
    "errors": ({"log_summary_error": "2"}, [5, 4]),
    "successful": ({"log_summary_successful": "1"}, [2, 1]),
    "bytes": ({"min_log_summary_bytes": "50"}, [6, 5]),
    "day": ({"log_summary_period": since(3)}, [5]),
    "not day": ({"not_log_summary_period": since(3)}, [6, 4, 3, 2, 1]),
    "since": ({"min_log_summary_period": since(5)}, [6, 5, 4, 3]),
    "until": ({"max_log_summary_period": since(100)}, [2, 1]),
    "never": ({"min_log_summary_period": since(1), "max_log_summary_period": since(2)}, []),
    "created": ({"min_log_summary_creation_datetime": NOW.strftime("%Y-%m-%d %H:%M:%S")}, [6, 5, 4, 3]),
    "sort": ({"sort_by": "log_summary_bytes"}, [1, 2, 3, 4, 5, 6]),
    "sort down": ({"sort_by": "log_summary_requests_desc"}, [6, 5, 4, 3, 2, 1]),
    "sort by period": ({"sort_by": "log_summary_period_asc"}, [1, 2, 3, 4, 5, 6]),
    "page": ({"page": "2", "per_page": "4"}, [2, 1]),
    "past the end": ({"page": "1000000000"}, []),
}


def test_a_search_applies_each_filter_and_sort(many: Order, api: APIClient) -> None:
    found = {
        name: [row["log_summary_requests"] for row in search(api, **query)["data"]]
        for name, (query, _) in FILTERS.items()
    }
    assert found == {name: expected for name, (_, expected) in FILTERS.items()}


def test_every_summary_is_found_by_its_id_by_its_owner_only(
    many: Order, api: APIClient, bob: User, make_order: Callable[..., Order], alice: User
) -> None:
    make_order(bob, logins=("bob-1",))
    push(TODAY, "a.example", login="bob-1")
    theirs = [row["log_summary_id"] for row in reads.search(bob.pk, EVERYTHING, NOW)[0]]
    rows = search(api)["data"]
    for row in rows:
        assert search(api, log_summary_id=row["log_summary_id"])["data"] == [row]
        assert search(api, not_log_summary_id=row["log_summary_id"])["total_count"] == len(rows) - 1
    assert search(api, customer_id=alice.pk)["total_count"] == len(rows)
    wrong = (
        *theirs,
        "nonsense",
        str(uuid.uuid4()),
        "99999999-0000-8000-8000-000000000000",
        rows[0]["log_summary_id"][:-1],
    )
    for summary_id in wrong:
        assert search(api, 404, log_summary_id=summary_id)["error"] == "Not Found"
        assert api.get(f"/log_summary/retrieve/{summary_id}").status_code == 404
    assert search(api, 404, customer_id=bob.pk)
    assert search(api, proxy_user_id="bob-1")["data"] == []


def test_times_are_in_the_requested_zone_and_days_stay_utc_days(many: Order, api: APIClient) -> None:
    """Nepal is ahead by five hours and three quarters the whole year."""
    zone = {"tz": "Asia/Kathmandu"}
    [found] = search(api, log_summary_period=since(3), **zone)["data"]
    local = f"{NOW + timedelta(hours=5, minutes=45):%Y-%m-%d %H:%M:%S}"
    assert found["log_summary_period"] == f"{since(3)} 00:00:00"
    assert (found["log_summary_creation_datetime"], found["log_summary_last_update_datetime"]) == (local, local)
    assert len(search(api, log_summary_creation_datetime=local, **zone)["data"]) == 4
    assert local in api.get("/log_summary/search", {"format": "csv", **zone}).content.decode()


UNKEPT = (
    "log_summary_domain",
    "exists_log_summary_hostname",
    "min_log_summary_domain",
    "log_network",
    "like_log_hostname",
    "service_id",
    "not_country_id",
    "asn_id",
    "proxy_id",
    "residential_ledger_bytes",
)


@pytest.mark.parametrize("name", UNKEPT)
def test_a_filter_by_a_field_that_is_not_stored_is_refused_by_name(name: str, many: Order, api: APIClient) -> None:
    assert f"{name}:" in search(api, 422, **{name: "a"})["message"]


HOSTILE: dict[str, tuple[dict[str, Any], int, str]] = {
    "text for a number": ({"log_summary_bytes": "much"}, 400, "log_summary_bytes"),
    "no day": ({"log_summary_period": "then"}, 400, "log_summary_period"),
    "min of a text": ({"min_log_summary_hostname": "a"}, 422, "min_log_summary_hostname"),
    "like a number": ({"like_log_summary_bytes": "2%"}, 422, "like_log_summary_bytes"),
    "unknown sort": ({"sort_by": "day"}, 422, "sort_by"),
    "unknown network": ({"log_summary_network": "satellite"}, 422, "log_summary_network"),
}


def test_a_search_names_the_malformed_or_unknown_parameter(order: Order, api: APIClient) -> None:
    for case, (query, status, named) in HOSTILE.items():
        assert named in search(api, status, **query)["message"], case


@pytest.mark.parametrize("sort", ["", "log_summary_requests", "log_summary_network_desc"])
def test_ties_are_sorted_by_id(sort: str, order: Order, api: APIClient) -> None:
    push_lines(*(line(TODAY, f"{n}.example") for n in range(9)))
    ids = [search(api, sort_by=sort, per_page=2, page=page)["data"] for page in range(1, 6)]
    found = [row["log_summary_id"] for page in ids for row in page]
    assert found == sorted(found)
    assert len(found) == 9


def test_two_hundred_conditions_are_answered(many: Order, api: APIClient) -> None:
    query = {
        f"{operator}{name}": "%"
        if operator == "like_"
        else {"date": "2001-01-01", "date-time": "2001-01-01"}.get(kind.name, "4242")
        for name, (kind, _) in FIELDS.items()
        for operator in ("not_", "like_", "min_", "max_")
        if kind.name != "id" and operator in kind.operators and f"{operator}{name}" != "not_log_summary_network"
    }
    assert search(api, **query, **{f"unknown_{n}": n for n in range(200)})["total_count"] == 0


def test_the_searches_agree_with_the_pushed_rows(order: Order) -> None:
    hosts, logins = ("a.example", "b.example"), ("alice-1", "alice-2")
    expected: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    lines = []
    for n in range(40):
        age, host, login = (n * 7) % 130, hosts[n % 2], logins[n % 3 % 2]
        day = TODAY - age * DAY
        lines.append(line(day, host, login, count=n))
        expected[f"{day} 00:00:00", login, host if age < 90 else ""] += n
    for first in range(0, 40, 10):
        push_lines(*lines[first : first + 10])
    found: dict[tuple[str, str, str], int] = {}
    for page in range(1, 30):
        rows, total = reads.search(order.user_id, Search((), None, is_descending=True, page=page, per_page=7), NOW)
        assert total == len(expected)
        for row in rows:
            key = row["log_summary_period"], row["proxy_user_id"], row["log_summary_hostname"]
            assert key not in found
            found[key] = row["log_summary_requests"]
    assert found == expected
