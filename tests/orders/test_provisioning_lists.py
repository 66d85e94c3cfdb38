"""A billing system pages through customers and orders, and requests only those that changed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import services as order_services
from orders.models import Order
from tests.usage.helpers import carry_and_post

GB = 2**30


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient]) -> APIClient:
    return client_for(staff)


def pages(shop: APIClient, name: str, **query: Any) -> Iterator[dict[str, Any]]:
    """The items of a whole list, page by page."""
    cursor: str | None = ""
    while cursor is not None:
        answer = shop.get(f"/provisioning/{name}", {**query, "cursor": cursor})
        assert answer.status_code == 200, answer.content
        yield answer.json()
        cursor = answer.json()["nextCursor"]


def ids(shop: APIClient, name: str, **query: Any) -> list[str]:
    return [row["externalId"] for page in pages(shop, name, **query) for row in page[name]]


def customer(name: str, **fields: Any) -> User:
    return User.objects.create_user(name, f"{name}@example.com", external_id=name, **fields)


def test_pages_hold_every_row_once_while_rows_come_and_go(shop: APIClient, make_order: Callable[..., Order]) -> None:
    for number in range(7):
        make_order(customer(f"c{number}"), external_id=f"o{number}")
    walk = pages(shop, "orders", limit=2)
    first = next(walk)
    Order.objects.filter(external_id="o0").update(external_id="changed")
    make_order(User.objects.get(username="c0"), external_id="o7")
    rest = [row["externalId"] for page in walk for row in page["orders"]]
    assert [row["externalId"] for row in first["orders"]] + rest == [f"o{number}" for number in range(8)]


def test_a_listed_order_is_the_order_without_its_logins(
    shop: APIClient, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    order = make_order(alice, external_id="o", limit=10 * GB, logins=("l",))
    carry_and_post(order, timezone.now(), GB)
    single = shop.get("/provisioning/orders/o").json()["order"]
    [listed] = shop.get("/provisioning/orders").json()["orders"]
    assert single.pop("proxyUsers") == ["l"]
    assert {name: listed[name] for name in single} == single
    assert listed["bytesLeft"] == 9 * GB
    assert set(listed) - set(single) == {"createdAt", "updatedAt"}


def test_customers_are_listed_and_staff_never(shop: APIClient, alice: User, viewer: User) -> None:
    customer("gone", is_active=False)
    assert [row["username"] for row in shop.get("/provisioning/users").json()["users"]] == ["alice", "gone"]
    assert ids(shop, "users", status="inactive") == ["gone"]
    assert ids(shop, "users", status="active") == [None]


def test_orders_are_listed_by_the_state_that_gateways_know(
    shop: APIClient, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    now = timezone.now()
    for state in ("active", "exhausted", "suspended", "expired"):
        make_order(alice, external_id=state, limit=GB)
    carry_and_post(Order.objects.get(external_id="exhausted"), now, GB)
    order_services.suspend(Order.objects.get(external_id="suspended"), now)
    order_services.expire(Order.objects.get(external_id="expired"), now)
    for state in ("active", "exhausted", "suspended", "expired"):
        [row] = shop.get("/provisioning/orders", {"status": state}).json()["orders"]
        assert (row["externalId"], row["state"]) == (state, state)


def aged(model: Any) -> str:
    """Moves every row of the model into the past; returns a time since then."""
    then = timezone.now() - timedelta(days=2)
    column = "date_joined" if model is User else "created_at"
    model.objects.update(**{column: then, "updated_at": None})
    return (then + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    "change",
    [
        lambda shop, order: shop.post("/provisioning/orders/o/top-ups", {"reference": "r", "bytes": 1}, format="json"),
        lambda shop, order: shop.post("/provisioning/orders/o/renewals", {"reference": "r"}, format="json"),
        lambda shop, order: shop.post("/provisioning/orders/o/suspend"),
        lambda shop, order: shop.post("/provisioning/orders/o/expire"),
        lambda shop, order: carry_and_post(order, timezone.now(), GB),
    ],
    ids=["top-up", "renewal", "suspension", "end", "exhaustion"],
)
def test_a_changed_order_is_listed_as_changed(
    change: Callable[..., Any], shop: APIClient, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    order = make_order(alice, external_id="o", limit=GB)
    make_order(alice, external_id="another", limit=GB)
    since = aged(Order)
    assert ids(shop, "orders", updatedSince=since) == []
    change(shop, order)
    assert ids(shop, "orders", updatedSince=since) == ["o"]


def test_usage_and_a_repeated_put_do_not_count_as_changes(
    shop: APIClient, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    user = {"username": "carol", "email": "carol@example.com"}
    order = {"user": "c", "name": "N", "proxyType": "residential-giga", "trafficLimitBytes": GB}
    for _ in range(2):
        shop.put("/provisioning/users/c", user, format="json")
        shop.put("/provisioning/orders/o", order, format="json")
        since = max(aged(User), aged(Order))
    carry_and_post(Order.objects.get(), timezone.now(), 1)
    shop.put("/provisioning/users/c", user, format="json")
    shop.put("/provisioning/orders/o", order, format="json")
    assert ids(shop, "orders", updatedSince=since) == ids(shop, "users", updatedSince=since) == []
    shop.put("/provisioning/users/c", {"email": "new@example.com"}, format="json")
    shop.put("/provisioning/orders/o", {**order, "name": "M"}, format="json")
    assert ids(shop, "orders", updatedSince=since) == ["o"]
    assert ids(shop, "users", updatedSince=since) == ["c"]


def test_the_next_poll_begins_before_the_first_page_of_this_one(
    shop: APIClient, alice: User, make_order: Callable[..., Order]
) -> None:
    for number in range(3):
        make_order(alice, external_id=f"o{number}")
    started = timezone.now()
    first, *others = pages(shop, "orders", limit=1)
    assert {page["nextUpdatedSince"] for page in others} == {first["nextUpdatedSince"]}
    assert first["nextUpdatedSince"] < started.isoformat()


@pytest.mark.parametrize("name", ["users", "orders"])
def test_a_malformed_or_foreign_cursor_is_refused(
    name: str, shop: APIClient, alice: User, make_order: Callable[..., Order]
) -> None:
    customer("c")
    for _ in range(2):
        make_order(alice)
    cursor = shop.get(f"/provisioning/{name}?limit=1").json()["nextCursor"]
    other = "orders" if name == "users" else "users"
    for wrong in ("x", "0", cursor[:-1], f"{cursor}x", "W10:x", "é"):
        refused = shop.get(f"/provisioning/{name}", {"cursor": wrong})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "cursor")
    assert shop.get(f"/provisioning/{name}", {"cursor": cursor, "status": "active"}).status_code == 400
    assert shop.get(f"/provisioning/{other}", {"cursor": cursor}).status_code == 400


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "status=gone", "updatedSince=yesterday", "limit=1&limit=2"]
)
def test_malformed_list_parameters_are_refused(query: str, shop: APIClient) -> None:
    for name in ("users", "orders"):
        assert shop.get(f"/provisioning/{name}?{query}").status_code == 400


def test_lists_are_available_as_csv_and_link_to_the_next_page(
    shop: APIClient, alice: User, make_order: Callable[..., Order]
) -> None:
    for number in range(3):
        make_order(alice, external_id=f"o{number}", name="=cmd")
    found: list[dict[str, str]] = []
    address = "/provisioning/orders?limit=2&format=csv"
    while address:
        answer = shop.get(address)
        found += csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
        link = answer.headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        address = link.partition("<")[2].partition(">")[0]
    assert [(row["externalId"], row["name"]) for row in found] == [(f"o{number}", "'=cmd") for number in range(3)]


def test_times_in_csv_equal_those_in_json(shop: APIClient, alice: User, make_order: Callable[..., Order]) -> None:
    make_order(alice, external_id="o")
    for name in ("users", "orders"):
        [row] = shop.get(f"/provisioning/{name}").json()[name]
        text = shop.get(f"/provisioning/{name}?format=csv").content.decode("utf-8-sig")
        [told] = csv.DictReader(io.StringIO(text))
        assert {at: told[at] for at in ("createdAt", "updatedAt")} == {at: row[at] for at in ("createdAt", "updatedAt")}


def test_one_customer_is_read_by_external_id(shop: APIClient, viewer: User) -> None:
    customer("c")
    User.objects.filter(pk=viewer.pk).update(external_id="v")
    assert shop.get("/provisioning/users/c").json()["user"]["email"] == "c@example.com"
    assert shop.get("/provisioning/users/unknown").status_code == 404
    assert shop.get("/provisioning/users/v").status_code == 409
