"""Staff see where traffic runs, and which logins have many client addresses; never the addresses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.test import Client as Browser
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import Client
from orders.models import Network, Order, ProxyUser
from tests.analytics.helpers import engine_unavailable

NOON = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    User.objects.filter(pk=alice.pk).update(external_id="c-1")
    return make_order(alice, limit=None, logins=("a", "b"), name="Order")


def push(*rows: dict[str, Any], at: datetime = NOON) -> None:
    logs = [{"ts": f"{at:%Y-%m-%d %H:%M:%S}", "count": 1, **row} for row in rows]
    body = msgspec.json.encode({"logs": logs})
    account = User.objects.earliest("pk").pk
    now = timezone.now()
    ingest_service.accept(body, to_inbox, account_id=account, route=IngestBatch.Route.TRAFFIC, key=None, now=now)


@pytest.fixture
def read(staff: User, client_for: Callable[..., APIClient]) -> Callable[..., Any]:
    client = client_for(staff)

    def read(path: str, expected: int = 200, **query: Any) -> Any:
        query = {"from": f"{NOON - DAY:%Y-%m-%d}", "to": f"{NOON:%Y-%m-%d}"} | query
        answer = client.get(f"/provisioning/{path}", query)
        assert answer.status_code == expected, answer.content
        return answer.json() if expected != 200 or query.get("format") != "csv" else answer.content.decode()

    return read


def test_traffic_is_summed_by_the_origin_that_gateways_report(
    order: Order, bob: User, make_order: Callable[..., Order], read: Callable[..., Any]
) -> None:
    other = make_order(bob, limit=None, logins=("c",), network=Network.MOBILE)
    push(
        {"proxy_user": "a", "worker": "w1", "peer_id": "p1", "ip_out": "192.0.2.7", "bytes_sent": 5, "error_count": 1},
        {"proxy_user": "a", "worker": "w1", "peer_id": "p2", "ip_out": "192.0.2.200", "bytes_received": 10},
        {"proxy_user": "c", "worker": "w2", "peer_id": "p1", "ip_out": "198.51.100.1", "bytes_received": 40},
        {"proxy_user": "c", "worker": "w2", "ip_out": "2001:db8:1:2::5", "bytes_received": 1},
        {"proxy_user": "c", "bytes_received": 2},
    )
    sums = {
        group: {(row["key"], row["name"]): row["bytesSent"] + row["bytesReceived"] for row in found["origins"]}
        for group in ("worker", "peer", "exitRange", "product", "customer")
        if (found := read("origins", group=group))
    }
    product, other_product = order.product, other.product
    assert sums == {
        "worker": {("w2", "w2"): 41, ("w1", "w1"): 15, ("", ""): 2},
        "peer": {("p1", "p1"): 45, ("p2", "p2"): 10, ("", ""): 3},
        "exitRange": {
            ("198.51.100.0/24", "198.51.100.0/24"): 40,
            ("192.0.2.0/24", "192.0.2.0/24"): 15,
            ("", ""): 2,
            ("2001:db8:1::/48", "2001:db8:1::/48"): 1,
        },
        "product": {(str(other_product.pk), other_product.name): 43, (str(product.pk), product.name): 15},
        "customer": {(str(bob.pk), "bob"): 43, (str(order.user_id), "alice"): 15},
    }
    [first, *_] = read("origins", group="worker", limit=1)["origins"]
    assert (first["key"], first["requests"], first["errors"], first["day"]) == ("w2", 2, 0, None)


def test_days_add_up_to_the_total_and_foreign_days_are_left_out(order: Order, read: Callable[..., Any]) -> None:
    for days, size in ((0, 1), (1, 2), (3, 100)):
        push({"proxy_user": "a", "worker": "w", "bytes_sent": size}, at=NOON - days * DAY)
    rows = read("origins", interval="day")["origins"]
    assert [(row["day"], row["bytesSent"]) for row in rows] == [
        (f"{NOON - DAY:%Y-%m-%d}", 2),
        (f"{NOON:%Y-%m-%d}", 1),
    ]
    assert [row["bytesSent"] for row in read("origins")["origins"]] == [3]
    assert "w,w," in read("origins", format="csv")


def test_logins_with_many_clients_are_listed_without_addresses(order: Order, read: Callable[..., Any]) -> None:
    push(*({"proxy_user": "a", "ip_from": f"203.0.113.{n}"} for n in (1, 2, 3, 3)), {"proxy_user": "a"})
    push({"proxy_user": "a", "ip_from": "203.0.113.9"}, at=NOON - DAY)
    push({"proxy_user": "b", "ip_from": "203.0.113.1"}, {"proxy_user": "b", "ip_from": "2001:db8::1"})
    found = read("login-clients", above=1)
    assert [(row["day"], row["login"], row["clients"], row["user"]) for row in found["logins"]] == [
        (f"{NOON:%Y-%m-%d}", "a", 3, "c-1"),
        (f"{NOON:%Y-%m-%d}", "b", 2, "c-1"),
    ]
    assert "203.0.113" not in str(found)
    assert read("login-clients", above=3)["logins"] == []
    assert [row["clients"] for row in read("login-clients", above=0)["logins"]] == [3, 2, 1]
    ProxyUser.objects.filter(login="b").delete()
    assert [row["login"] for row in read("login-clients", above=1)["logins"]] == ["a", None]


@pytest.mark.parametrize(
    "query",
    [
        {"group": "moon"},
        {"interval": "hour"},
        {"limit": "0"},
        {"limit": "1001"},
        {"from": "2026-01-01", "to": "2026-02-01"},
        {"from": "x"},
        {"to": "2020-01-01"},
    ],
)
def test_bad_parameters_are_refused(query: dict[str, str], read: Callable[..., Any]) -> None:
    assert read("origins", 400, **query)["errors"]


def test_a_range_beyond_the_retention_is_empty(order: Order, read: Callable[..., Any]) -> None:
    assert read("origins", **{"from": "2020-01-01", "to": "2020-01-02"})["origins"] == []
    assert read("login-clients", **{"from": "2020-01-01", "to": "2020-01-02"})["logins"] == []


def test_the_consoles_page_shows_both(order: Order, staff: User, helper: User) -> None:
    push({"proxy_user": "a", "worker": "gateway-7", "ip_from": "203.0.113.1", "bytes_sent": 2**30}, at=timezone.now())
    browser = Browser()
    browser.force_login(User.objects.create_superuser("boss"))
    page = browser.get("/admin/origins/", {"above": "0"}).content.decode()
    assert "gateway-7" in page
    assert "1.00 GB" in page
    assert "alice" in page
    assert "203.0.113" not in page
    assert "gateway-7" in browser.get("/admin/origins/", {"by_day": "on", "days": "31"}).content.decode()
    assert "Select a valid choice" in browser.get("/admin/origins/", {"group": "moon"}).content.decode()
    with engine_unavailable():
        assert "ClickHouse is unavailable" in browser.get("/admin/origins/").content.decode()
    browser.force_login(helper)
    assert browser.get("/admin/origins/").status_code == 403
