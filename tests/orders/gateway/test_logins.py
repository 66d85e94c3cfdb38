"""The feed of logins: a gateway that follows it has the same logins as FonProxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import issue_key
from orders import erasure, proxy_users
from orders import services as order_services
from orders.models import CutOffCounter, Order, ProxyUser
from tests.accounts.helpers import client_with


class Follower:
    def __init__(self, client: APIClient, limit: int = 1000) -> None:
        self.client, self.limit, self.cursor = client, limit, ""
        self.known: dict[str, Any] = {}

    def follow(self) -> dict[str, Any]:
        has_more = True
        while has_more:
            page = self.client.get(f"/gateway/logins?since={self.cursor}&limit={self.limit}").json()
            if page["reset"]:
                self.known.clear()
            for login in page["logins"]:
                if login["deleted"]:
                    self.known.pop(login["login"], None)
                else:
                    self.known[login["login"]] = login
            self.cursor, has_more = page["cursor"], page["hasMore"]
        return self.known


@pytest.fixture
def follower(staff: User) -> Follower:
    return Follower(client_with(issue_key(user=staff, name="gw", scopes=["gateway"], now=timezone.now())[1]))


def test_a_login_is_listed_with_every_field_that_decides_access(
    follower: Follower, alice: User, make_order: Callable[..., Order]
) -> None:
    order = make_order(alice, logins=["a"])
    assert follower.follow()["a"] == {
        "login": "a", "orderId": order.published_id, "verifier": None, "allowedIps": [], "maxConnections": None,
        "state": "active", "stopped": False, "deleted": False,
    }  # fmt: skip
    user = ProxyUser.objects.get()
    proxy_users.change_by_owner(user, {"password": None, "allowedIps": ["192.0.2.0/24"]})
    user.refresh_from_db()
    assert follower.follow()["a"]["verifier"] == user.verifier
    assert follower.known["a"]["allowedIps"] == ["192.0.2.0/24"]


def test_an_order_stops_and_releases_all_its_logins(
    follower: Follower, alice: User, make_order: Callable[..., Order]
) -> None:
    order = make_order(alice, logins=["a", "b"])
    make_order(alice, logins=["c"])
    follower.follow()
    order_services.suspend(order, timezone.now())
    assert {login: state["stopped"] for login, state in follower.follow().items()} == {"a": True, "b": True, "c": False}
    assert follower.known["a"]["state"] == "suspended"
    order_services.resume(order, timezone.now())
    assert not any(state["stopped"] for state in follower.follow().values())


def test_logins_that_leave_are_deleted_and_erased_ones_too(
    follower: Follower, alice: User, make_order: Callable[..., Order]
) -> None:
    order = make_order(alice, logins=["a", "b"])
    follower.follow()
    order_services.set_logins(order, {"b": {}, "c": {}}, timezone.now())
    assert sorted(follower.follow()) == ["b", "c"]
    order_services.set_logins(order, {"a": {}}, timezone.now())
    assert sorted(follower.follow()) == ["a"]
    erasure.stop_logins(alice, timezone.now())
    assert follower.follow() == {}


def test_without_changes_the_page_is_empty_and_the_cursor_the_same(
    follower: Follower, alice: User, make_order: Callable[..., Order]
) -> None:
    make_order(alice, logins=["a"])
    follower.follow()
    page = follower.client.get("/gateway/logins", {"since": follower.cursor}).json()
    assert page == {"logins": [], "cursor": follower.cursor, "hasMore": False, "reset": False}


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_small_pages_miss_nothing(
    follower: Follower, alice: User, make_order: Callable[..., Order], limit: int
) -> None:
    follower.limit = limit
    orders = [make_order(alice, logins=[f"{name}{n}" for n in range(3)]) for name in "abc"]
    order_services.suspend(orders[1], timezone.now())
    order_services.set_logins(orders[0], {"a1": {}, "a9": {}}, timezone.now())
    expected = {"a1": False, "a9": False, "b0": True, "b1": True, "b2": True, "c0": False, "c1": False, "c2": False}
    assert {login: state["stopped"] for login, state in follower.follow().items()} == expected
    order_services.resume(orders[1], timezone.now())
    order_services.suspend(orders[2], timezone.now())
    proxy_users.change(ProxyUser.objects.get(login="a1"), {"max_connections": 1})
    expected |= {"b0": False, "b1": False, "b2": False, "c0": True, "c1": True, "c2": True}
    assert {login: state["stopped"] for login, state in follower.follow().items()} == expected
    assert follower.known["a1"]["maxConnections"] == 1


def test_a_cursor_newer_than_a_restored_backup_starts_again(
    follower: Follower, alice: User, make_order: Callable[..., Order]
) -> None:
    make_order(alice, logins=["a", "b"])
    follower.follow()
    ProxyUser.objects.filter(login="b").delete()
    CutOffCounter.objects.update(last=1)
    assert sorted(follower.follow()) == ["a"]


@pytest.mark.parametrize("params", [{"since": "-1"}, {"since": "x"}, {"limit": "0"}, {"limit": "10001"}])
def test_a_malformed_parameter_is_named(follower: Follower, params: dict[str, str]) -> None:
    answer = follower.client.get("/gateway/logins", params)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, next(iter(params)))
