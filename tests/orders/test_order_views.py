from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import User
from orders.models import Order
from tests.accounts.helpers import NOW

MakeOrder = Callable[..., Order]
ClientFor = Callable[..., APIClient]


def test_an_order_is_listed_as_published(alice: User, make_order: MakeOrder, client_for: ClientFor) -> None:
    order = make_order(alice, name="Spring", limit=2**62, started_at=NOW, expires_at=NOW.replace(year=2090))
    assert client_for(alice).get("/orders").json() == {
        "orders": [
            {
                "id": order.published_id,
                "name": "Spring",
                "proxyType": "residential-giga",
                "network": "residential",
                "status": "active",
                "trafficLimitBytes": 2**62,
                "startedAt": "2026-03-01T12:00:00Z",
                "expiresAt": "2090-03-01T12:00:00Z",
                "period": None,
                "renewsAt": None,
            }
        ]
    }


def test_an_unmetered_order_without_an_end_has_null_fields(
    alice: User, make_order: MakeOrder, client_for: ClientFor
) -> None:
    make_order(alice)
    listed = client_for(alice).get("/orders").json()["orders"][0]
    assert listed["trafficLimitBytes"] is None
    assert listed["expiresAt"] is None


def test_the_status_is_the_current_one(alice: User, make_order: MakeOrder, client_for: ClientFor) -> None:
    past = timezone.now() - timedelta(seconds=1)
    make_order(alice, name="active")
    make_order(alice, name="suspended", suspended_at=past)
    make_order(alice, name="expired", suspended_at=past, expires_at=past)
    listed = client_for(alice).get("/orders").json()["orders"]
    assert {order["name"]: order["status"] for order in listed} == {
        "active": "active",
        "suspended": "suspended",
        "expired": "expired",
    }


def test_orders_are_listed_newest_first(alice: User, make_order: MakeOrder, client_for: ClientFor) -> None:
    make_order(alice, name="new", started_at=NOW)
    make_order(alice, name="old", started_at=NOW - timedelta(days=1))
    assert [order["name"] for order in client_for(alice).get("/orders").json()["orders"]] == ["new", "old"]


def test_foreign_orders_are_not_listed(alice: User, bob: User, make_order: MakeOrder, client_for: ClientFor) -> None:
    make_order(bob)
    assert client_for(alice).get("/orders").json() == {"orders": []}


def test_staff_may_list_the_orders_of_a_customer(
    staff: User, alice: User, make_order: MakeOrder, client_for: ClientFor
) -> None:
    order = make_order(alice)
    listed = client_for(staff).get("/orders", {"userId": alice.published_id}).json()["orders"]
    assert [row["id"] for row in listed] == [order.published_id]


def test_a_customer_may_not_list_the_orders_of_another(alice: User, bob: User, client_for: ClientFor) -> None:
    assert client_for(alice).get("/orders", {"userId": bob.published_id}).status_code == 404


def test_a_user_id_given_twice_is_a_400(alice: User, client_for: ClientFor) -> None:
    response = client_for(alice).get("/orders?userId=a&userId=b")
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "userId"


def test_a_list_is_one_query_however_long(
    alice: User, make_order: MakeOrder, client_for: ClientFor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for network in ("isp", "mobile", "residential"):
        make_order(alice, network=network)
    client = client_for(alice)
    with django_assert_num_queries(2):  # the caller with the token's family, the orders with their products
        client.get("/orders")


@pytest.mark.parametrize("orders", [0, 2])
def test_the_list_comes_as_csv(alice: User, make_order: MakeOrder, client_for: ClientFor, orders: int) -> None:
    for _ in range(orders):
        make_order(alice, limit=5)
    response = client_for(alice).get("/orders", headers={"accept": "text/csv"})
    header, *rows = response.content.decode().splitlines()
    assert response["Content-Disposition"] == 'attachment; filename="orders.csv"'
    assert header == "id,name,proxyType,network,status,trafficLimitBytes,startedAt,expiresAt,renewsAt"
    assert len(rows) == orders


def test_a_key_without_the_read_scope_lists_nothing(alice: User, client_for: ClientFor) -> None:
    assert client_for(alice, "ingest").get("/orders").status_code == 403
