"""No account ever sees the rows of another, even under concurrent reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connections
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import issue_key
from fonproxy import ids
from fonproxy.clickhouse.client import Client
from orders.models import Order
from tests.analytics.helpers import documented_row, push
from tests.thoroughness import drawn, examples

REPORTS = ("traffic", "requests", "concurrency", "domains", "errors", "websites")
THREADS = 16
ROUNDS = examples(4)
PATIENCE_SECONDS = 60


def days() -> dict[str, str]:
    today = datetime.now(UTC).date()
    return {"from": f"{today - timedelta(days=1)}", "to": f"{today}"}


def rows_of(user: User, order_id: int = 1) -> list[dict[str, Any]]:
    """Rows in which every name and number identifies the owner."""
    number, name = user.pk, user.username
    own = {"user_id": number, "order_id": order_id, "count": number, "bytes_sent": number, "bytes_received": 0}
    return [
        documented_row(**own, domain=f"{name}-{n}.example", error=f"error of {name}", error_count=number)
        | {"max_concurrency": number}
        for n in range(3)
    ]


def is_all_of(user: User, report: str, data: list[dict[str, Any]]) -> bool:
    """Whether a response has all of this user's rows and nothing else."""
    once, thrice = str(user.pk), str(3 * user.pk)
    sites = {f"{user.username}-{n}.example" for n in range(3)}
    if report in ("domains", "websites"):
        return {row["domain"] for row in data} == sites and {row["total_count"] for row in data} == {once}
    [row] = data
    if report == "errors":
        told = (row["error"], set(row["sample_domains"]), row["total_errors"])
        return told == (f"error of {user.username}", sites, thrice)
    return (row["total_count"], row.get("max_concurrency", once)) == (thrice, once)


@drawn
@pytest.mark.django_db(transaction=True)
def test_threads_that_read_different_accounts_at_once_never_see_another_s_rows(
    clean_engine: Client, client_for: Callable[..., APIClient]
) -> None:
    staff = User.objects.create_user("staff", is_staff=True, is_superuser=True)
    users = [User.objects.create_user(f"customer{n}") for n in range(THREADS)]
    assert push(client_for(staff), [row for user in users for row in rows_of(user)]).status_code == 204
    clients = [client_for(user) for user in users]
    start = Barrier(THREADS)

    wrong: list[str] = []

    def ask_everything(user: User, client: APIClient) -> None:
        start.wait()
        for _ in range(ROUNDS):
            for report in REPORTS:
                response = client.get(f"/analytics/{report}", days())
                if response.status_code != 200 or not is_all_of(user, report, response.json()["data"]):
                    wrong.append(f"{user.username} asked for {report}: {response.content!r}")
        connections.close_all()

    # Not a pool, which would never end if threads block in the engine.
    threads = [Thread(target=ask_everything, args=each, daemon=True) for each in zip(users, clients, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert wrong == []


@pytest.fixture
def loaded(
    clean_engine: Client,
    alice: User,
    bob: User,
    staff: User,
    make_order: Callable[..., Order],
    client_for: Callable[..., APIClient],
) -> tuple[Order, Order]:
    """An order each of alice and bob, with rows."""
    orders = make_order(alice), make_order(bob)
    rows = [row for order in orders for row in rows_of(order.user, order.pk)]
    assert push(client_for(staff), rows).status_code == 204
    return orders


@pytest.mark.parametrize("report", REPORTS)
def test_an_account_sees_its_own_rows_only(
    report: str, loaded: tuple[Order, Order], alice: User, client_for: Callable[..., APIClient]
) -> None:
    for more in ({}, {"orderId": loaded[0].published_id}, {"userId": alice.published_id}):
        answer = client_for(alice).get(f"/analytics/{report}", {**days(), **more})
        assert is_all_of(alice, report, answer.json()["data"])


def test_a_row_that_names_another_s_order_is_seen_by_the_user_it_names_only(
    loaded: tuple[Order, Order], alice: User, bob: User, staff: User, client_for: Callable[..., APIClient]
) -> None:
    of_bob = loaded[1]
    [first, *_] = rows_of(alice, of_bob.pk)
    assert push(client_for(staff), [{**first, "domain": "stray.example"}]).status_code == 204
    by_user = {
        user.username: {row["domain"] for row in client_for(user).get("/analytics/websites", days()).json()["data"]}
        for user in (alice, bob)
    }
    assert "stray.example" in by_user["alice"]
    assert "stray.example" not in by_user["bob"]
    narrowed = client_for(bob).get("/analytics/websites", {**days(), "orderId": of_bob.published_id}).json()
    assert {row["domain"] for row in narrowed["data"]} == by_user["bob"]


def wrong_ids(order: Order, own: Order) -> list[str]:
    """Ids that are not one of ``own``'s owner: somebody else's, of another kind, malformed, unknown."""
    key, _ = issue_key(user=own.user, name="k", scopes=("read",), now=datetime.now(UTC))
    good = own.published_id
    return [
        order.published_id,
        key.published_id,
        own.user.published_id,
        ids.encode("order", 10**9),
        ids.encode("subscription", own.pk),
        str(own.pk),
        good + good[0],
        good[:-1],
        good.swapcase(),
        "sub_" + good,
        "é" * 10,
        "0",
        "-1",
        "' OR 1=1 --",
        "x" * 64,
    ]


@pytest.mark.parametrize("report", REPORTS)
def test_an_order_id_of_another_account_or_none_is_not_found(
    report: str, loaded: tuple[Order, Order], alice: User, staff: User, client_for: Callable[..., APIClient]
) -> None:
    own, foreign = loaded
    for text in wrong_ids(foreign, own):
        assert client_for(alice).get(f"/analytics/{report}", {**days(), "orderId": text}).status_code == 404, text
        asked = {**days(), "orderId": text, "userId": alice.published_id}
        assert client_for(staff).get(f"/analytics/{report}", asked).status_code == 404, text


def test_ids_are_not_trimmed_or_normalized(
    loaded: tuple[Order, Order], alice: User, client_for: Callable[..., APIClient]
) -> None:
    good = {"orderId": loaded[0].published_id, "userId": alice.published_id}
    changes: list[Callable[[str], str]] = [
        lambda id_: f" {id_}",
        lambda id_: f"{id_}\n",
        lambda id_: f"{id_}\0",
        lambda id_: id_ * 10,
        lambda id_: " ",
    ]
    wrong = [(name, change(id_)) for name, id_ in good.items() for change in changes]
    got = {(name, text): client_for(alice).get("/analytics/traffic", {**days(), name: text}) for name, text in wrong}
    assert {case: response.status_code for case, response in got.items()} == dict.fromkeys(got, 404)


@pytest.mark.parametrize("report", REPORTS)
def test_a_customer_who_names_another_user_gets_a_404(
    report: str, loaded: tuple[Order, Order], alice: User, bob: User, client_for: Callable[..., APIClient]
) -> None:
    unknown = ids.encode("user", 10**9)
    answers = [
        client_for(alice).get(f"/analytics/{report}", {**days(), "userId": text})
        for text in (bob.published_id, unknown, ids.encode("order", alice.pk), str(alice.pk))
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert len({answer.json()["detail"] for answer in answers}) == 1


@pytest.mark.parametrize("report", REPORTS)
def test_staff_who_name_a_user_read_that_account(
    report: str, loaded: tuple[Order, Order], alice: User, bob: User, staff: User, client_for: Callable[..., APIClient]
) -> None:
    client = client_for(staff)
    for order in loaded:
        named = {**days(), "userId": order.user.published_id}
        assert is_all_of(order.user, report, client.get(f"/analytics/{report}", named).json()["data"])
        narrowed = client.get(f"/analytics/{report}", {**named, "orderId": order.published_id})
        assert is_all_of(order.user, report, narrowed.json()["data"])
    crossed = {**days(), "userId": alice.published_id, "orderId": loaded[1].published_id}
    assert client.get(f"/analytics/{report}", crossed).status_code == 404
    assert client.get(f"/analytics/{report}", days()).json()["data"] == []


def test_sums_of_thousands_of_rows_at_the_caps_are_exact(
    clean_engine: Client, alice: User, staff: User, client_for: Callable[..., APIClient]
) -> None:
    number, most, many = 6000, 2**44, 2**32
    at_the_caps = documented_row(
        user_id=alice.pk, bytes_sent=most, bytes_received=most, count=many, error_count=many, error="E"
    ) | {"max_concurrency": many, "duration_ms": most}
    assert push(client_for(staff), [at_the_caps] * number).status_code == 204
    client = client_for(alice)

    def only(report: str) -> dict[str, str]:
        [row] = client.get(f"/analytics/{report}", days()).json()["data"]
        return {name: value for name, value in row.items() if str(value).isdecimal()}

    sent, both, times = str(most * number), str(2 * most * number), str(many * number)
    traffic = {"total_bytes_sent": sent, "total_bytes_received": sent, "bytes_total": both, "total_count": times}
    assert only("traffic") == traffic
    assert only("requests") == {"total_count": times, "total_errors": times}
    assert only("concurrency") == {"max_concurrency": str(many), "total_count": times}
    assert only("domains") == {**traffic, "total_errors": times}
    assert only("errors") == {"total_errors": times}
    assert only("websites") == {"total_count": times, "bytes_total": both}
