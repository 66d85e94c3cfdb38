"""A billing system drives orders by its own ids, and may say everything twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import applications
from accounts.models import ApiKey, Application, Order, ProxyUser, User
from analytics.events.rows import to_columns
from fonproxy.clickhouse.client import Client
from tests.analytics.helpers import TABLES, counted, engine_away
from tests.usage.helpers import carry, carry_and_post, credits_of
from usage import cut_off, orders, posting
from usage.models import Erasure, LedgerEntry

GB = 2**30


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient], clean_engine: Client) -> Callable[..., Any]:
    client = client_for(staff)

    def call(method: str, path: str, **body: Any) -> Any:
        return client.generic(method, f"/provisioning/{path}", json.dumps(body), content_type="application/json")

    return call


@pytest.fixture
def sold(shop: Callable[..., Any]) -> Order:
    assert shop("PUT", "users/c-1", username="carol", email="carol@example.com").status_code == 201
    assert put_order(shop).status_code == 201
    return Order.objects.get()


def put_order(shop: Callable[..., Any], external_id: str = "o-1", **changes: Any) -> Any:
    body = {
        "user": "c-1",
        "name": "Residential 10 GB",
        "proxyType": "residential-giga",
        "trafficLimitBytes": 10 * GB,
        "proxyUsers": ["carol-1", "carol-2"],
    } | changes
    return shop("PUT", f"orders/{external_id}", **body)


def test_a_customer_and_an_order_are_made_by_external_id(shop: Callable[..., Any], sold: Order) -> None:
    answer = shop("GET", "orders/o-1").json()["order"]
    assert answer | {"startsAt": "", "id": "", "orderId": 0} == {
        "externalId": "o-1", "id": "", "orderId": 0, "user": "c-1", "name": "Residential 10 GB",
        "proxyType": "residential-giga", "network": "residential", "state": "active",
        "trafficLimitBytes": 10 * GB, "addedBytes": 0, "bytesLeft": 10 * GB,
        "startsAt": "", "expiresAt": None, "proxyUsers": ["carol-1", "carol-2"],
    }  # fmt: skip
    assert sold.user.email == "carol@example.com"
    assert not sold.user.has_usable_password()


def test_the_same_put_twice_changes_nothing(shop: Callable[..., Any], sold: Order) -> None:
    before = shop("GET", "orders/o-1").json()
    assert shop("PUT", "users/c-1", username="carol", email="carol@example.com").status_code == 200
    assert shop("PUT", "users/c-1").json()["user"]["username"] == "carol"
    assert put_order(shop).status_code == 200
    assert shop("GET", "orders/o-1").json() == before
    assert credits_of(sold) == [("service_purchase", 10 * GB)]


def test_an_old_put_after_a_top_up_does_not_take_it_away(shop: Callable[..., Any], sold: Order) -> None:
    assert shop("POST", "orders/o-1/top-ups", reference="t", bytes=GB).status_code == 201
    assert put_order(shop).json()["order"]["bytesLeft"] == 11 * GB


def test_a_put_changes_what_it_says(shop: Callable[..., Any], sold: Order) -> None:
    end = "2090-01-01T00:00:00Z"
    answer = put_order(shop, name="Bigger", trafficLimitBytes=20 * GB, expiresAt=end, proxyUsers=["carol-2", "carol-3"])
    order = answer.json()["order"]
    assert (order["name"], order["bytesLeft"], order["expiresAt"]) == ("Bigger", 20 * GB, end)
    assert order["proxyUsers"] == ["carol-2", "carol-3"]
    assert credits_of(sold) == [("service_purchase", 10 * GB), ("adjustment", 10 * GB)]


@pytest.mark.parametrize("kind", ["top-ups", "refunds", "adjustments", "renewals"])
def test_the_same_reference_twice_adds_nothing_and_with_another_amount_is_a_conflict(
    shop: Callable[..., Any], sold: Order, kind: str
) -> None:
    statuses = [shop("POST", f"orders/o-1/{kind}", reference="r", bytes=size).status_code for size in (GB, GB, 2 * GB)]
    assert statuses == [201, 200, 409]
    assert LedgerEntry.objects.filter(order=sold, reference="r").count() == 1


def test_a_renewal_begins_with_the_whole_limit_again(shop: Callable[..., Any], sold: Order) -> None:
    carry_and_post(sold, timezone.now(), 4 * GB)
    order = shop("POST", "orders/o-1/renewals", reference="n", expiresAt="2090-01-01").json()["order"]
    assert (order["bytesLeft"], order["expiresAt"]) == (10 * GB, "2090-01-02T00:00:00Z")
    assert credits_of(sold) == [("service_purchase", 10 * GB), ("adjustment", -6 * GB), ("service_purchase", 10 * GB)]


def test_orders_that_must_stop_and_come_back_are_told_in_order(shop: Callable[..., Any], sold: Order) -> None:
    for number in (2, 3):
        put_order(shop, f"o-{number}", proxyUsers=[f"login-{number}"])
    assert shop("GET", "exhausted").json() == {"changes": [], "cursor": "0", "hasMore": False}
    carry_and_post(sold, timezone.now(), 10 * GB)
    shop("POST", "orders/o-2/suspend")
    shop("POST", "orders/o-3/expire")
    told = shop("GET", "exhausted").json()
    assert [(change["externalId"], change["state"]) for change in told["changes"]] == [
        ("o-1", "exhausted"),
        ("o-2", "suspended"),
        ("o-3", "expired"),
    ]
    assert told["changes"][0]["proxyUsers"] == ["carol-1", "carol-2"]
    assert shop("GET", f"exhausted?since={told['cursor']}").json()["changes"] == []
    shop("POST", "orders/o-1/top-ups", reference="t", bytes=1)
    shop("POST", "orders/o-2/resume")
    shop("POST", "orders/o-3/renewals", reference="n", expiresAt="2090-01-01")
    since = shop("GET", f"exhausted?since={told['cursor']}").json()
    assert [(change["externalId"], change["state"]) for change in since["changes"]] == [
        (f"o-{number}", "active") for number in (1, 2, 3)
    ]
    page = shop("GET", "exhausted?limit=1").json()
    assert (len(page["changes"]), page["hasMore"]) == (1, True)


def test_logins_that_move_between_orders_are_stopped_and_carried_as_their_order_is(
    shop: Callable[..., Any], sold: Order
) -> None:
    def feed(since: str) -> Any:
        told = shop("GET", f"exhausted?since={since}").json()
        return [(c["externalId"], c["state"], c["proxyUsers"]) for c in told["changes"]], told["cursor"]

    shop("POST", "orders/o-1/suspend")
    changes, cursor = feed("0")
    assert changes == [("o-1", "suspended", ["carol-1", "carol-2"])]
    put_order(shop, proxyUsers=["carol-1", "new"])
    changes, cursor = feed(cursor)
    assert changes == [("o-1", "suspended", ["carol-1", "new"])]
    put_order(shop, "o-2", proxyUsers=["carol-3"])
    assert feed(cursor)[0] == []
    put_order(shop, "o-2", proxyUsers=["carol-2", "carol-3"])
    assert feed(cursor)[0] == [("o-2", "active", ["carol-2", "carol-3"])]


def test_proxies_are_told_of_an_erased_order_for_a_month(shop: Callable[..., Any], sold: Order) -> None:
    shop("DELETE", "users/c-1")
    [change] = shop("GET", "exhausted").json()["changes"]
    assert (change["externalId"], change["state"], change["proxyUsers"]) == ("o-1", "expired", ["carol-1", "carol-2"])
    cut_off.forget_erased(timezone.now() + timedelta(days=31))
    assert shop("GET", "exhausted").json()["changes"] == []


def test_an_order_expires_by_itself(shop: Callable[..., Any], sold: Order) -> None:
    soon = timezone.now() + timedelta(hours=1)
    put_order(shop, expiresAt=soon.isoformat())
    orders.close_expired(soon)
    assert shop("GET", "exhausted").json()["changes"][0]["state"] == "expired"
    assert shop("POST", "orders/o-1/top-ups", reference="t", bytes=1).status_code == 409


BAD_ORDERS = {
    "an unknown customer": {"user": "nobody"},
    "a limit as text": {"trafficLimitBytes": "5"},
    "a limit that is a truth value": {"trafficLimitBytes": True},
    "a limit below zero": {"trafficLimitBytes": -1},
    "a limit beyond what is exact": {"trafficLimitBytes": 2**53},
    "a fraction": {"trafficLimitBytes": 1.5},
    "an unknown proxy type": {"proxyType": "satellite"},
    "no name": {"name": ""},
    "a NUL": {"name": "a\0b"},
    "half a surrogate": {"name": "a\ud800"},
    "a time that is none": {"expiresAt": "tomorrow"},
    "logins that are no list": {"proxyUsers": "carol"},
    "a login that is no text": {"proxyUsers": [1]},
    "a login that is empty": {"proxyUsers": [""]},
    "half a surrogate as login": {"proxyUsers": ["\ud800"]},
}


@pytest.mark.parametrize("changes", BAD_ORDERS.values(), ids=BAD_ORDERS)
def test_a_bad_order_is_refused_and_changes_nothing(
    shop: Callable[..., Any], sold: Order, changes: dict[str, Any]
) -> None:
    before = shop("GET", "orders/o-1").json()
    answer = put_order(shop, **changes)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["field"].split(".")[0] in changes
    assert shop("GET", "orders/o-1").json() == before


def test_what_contradicts_is_a_conflict_and_changes_nothing(shop: Callable[..., Any], sold: Order) -> None:
    shop("PUT", "users/c-2")
    put_order(shop, "o-2", user="c-2", proxyUsers=["taken"])
    assert put_order(shop, user="c-2").status_code == 409
    assert put_order(shop, proxyType="mobile-giga").status_code == 409
    assert put_order(shop, name="new", proxyUsers=["taken"]).status_code == 409
    assert shop("PUT", "users/c-2", username="carol").status_code == 409
    assert Order.objects.get(external_id="o-1").name == "Residential 10 GB"
    assert ProxyUser.objects.get(login="taken").order.external_id == "o-2"


def test_unknown_and_malformed_ids_are_told(shop: Callable[..., Any], sold: Order) -> None:
    assert shop("GET", "orders/nothing").status_code == 404
    assert shop("POST", "orders/nothing/top-ups", reference="r", bytes=1).status_code == 404
    assert shop("DELETE", "users/nobody").status_code == 404
    assert shop("PUT", "users/" + "x" * 129).status_code == 400
    assert put_order(shop, "with%20space").status_code == 400
    assert shop("GET", "exhausted?since=-1").status_code == 400


def test_an_erased_customer_leaves_nothing_in_either_store(
    shop: Callable[..., Any], sold: Order, alice: User, make_order: Callable[..., Order], make_key: Any, engine: Client
) -> None:
    other = make_order(alice)
    carry_and_post(sold, timezone.now(), 5)
    carry_and_post(other, timezone.now(), 7)
    make_key(sold.user)
    application, _ = applications.create(sold.user, "an API", timezone.now())
    kept, _ = applications.create(alice, "another API", timezone.now())
    for owner in (application, kept):
        event = {"timestamp": int(time.time()), "method": "GET", "url": "/", "response_us": 1, "status_code": 200}
        engine.insert("events", to_columns(json.dumps([event]).encode(), owner, timezone.now()), token=str(owner.pk))
    answer = shop("DELETE", "users/c-1")
    assert answer.status_code == 200, answer.content
    erased = answer.json()["erased"]
    assert {erased[table] for table in (*TABLES, "events", "applications")} == {1}
    assert (erased["orders"], erased["users"], erased["ledger_entries"], erased["proxy_users"]) == (1, 1, 2, 2)
    assert not User.objects.filter(external_id="c-1").exists()
    assert LedgerEntry.objects.exclude(order=other).count() == ApiKey.objects.count() == Erasure.objects.count() == 0
    assert {counted(engine, table) for table in (*TABLES, "events")} == {(1, 1)}
    assert list(Application.objects.all()) == [kept]
    assert shop("DELETE", "users/c-1").status_code == 404
    posting.post_usage(timezone.now())


def test_a_customer_is_not_erased_while_traffic_is_under_way(shop: Callable[..., Any], sold: Order) -> None:
    with engine_away():
        carry(sold, timezone.now(), 5)
        answer = shop("DELETE", "users/c-1")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert Order.objects.filter(pk=sold.pk).exists()


def test_staff_are_not_erased(shop: Callable[..., Any], staff: User) -> None:
    User.objects.filter(pk=staff.pk).update(external_id="s-1")
    assert shop("DELETE", "users/s-1").status_code == 409
