"""Proxy users: passwords that cannot be read again, allowed addresses, and who may change them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.exceptions import NotFound
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import erasure, passwords, proxy_users, services
from orders.enforcement import State
from orders.limits import AT_ONCE
from orders.models import BlockedLogin, CutOff, Order, ProxyUser, RemovedLogin

PASSWORD = "correct-horse-1"


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient], db: None) -> Callable[..., Any]:
    client = client_for(staff)

    def put(*proxy_users: Any, external_id: str = "o-1") -> Any:
        client.generic("PUT", "/provisioning/users/c-1", "{}", content_type="application/json")
        body = {
            "user": "c-1",
            "name": "Residential",
            "proxyType": "residential-giga",
            "trafficLimitBytes": None,
            "proxyUsers": proxy_users,
        }
        path = f"/provisioning/orders/{external_id}"
        return client.generic("PUT", path, json.dumps(body), content_type="application/json")

    return put


def user(login: str) -> ProxyUser:
    return ProxyUser.objects.get(login=login)


def number(login: str) -> int:
    return ProxyUser.objects.filter(login=login).values_list("number", flat=True).get() or 0


@pytest.fixture
def own(alice: User, make_order: Callable[..., Order]) -> ProxyUser:
    make_order(alice, logins=["alice-1"])
    return user("alice-1")


def test_provisioning_sets_password_addresses_and_connections(shop: Callable[..., Any]) -> None:
    entry = {"login": "a", "password": PASSWORD, "allowedIps": ["192.0.2.7/24", "::1"], "maxConnections": 3}
    assert shop(entry, "b").json()["order"]["proxyUsers"] == ["a", "b"]
    made = user("a")
    assert passwords.matches(made.verifier, PASSWORD)
    assert not passwords.matches(made.verifier, PASSWORD + "x")
    assert (made.allowed_ips, made.max_connections) == (["192.0.2.0/24", "::1/128"], 3)
    assert not user("b").has_password


def test_a_login_without_password_gets_a_generated_one_once(shop: Callable[..., Any]) -> None:
    first = shop({"login": "a"}, {"login": "b", "password": PASSWORD}, "c").json()
    assert list(first["passwords"]) == ["a"]
    assert passwords.matches(user("a").verifier, first["passwords"]["a"])
    verifier = user("a").verifier
    assert "passwords" not in shop({"login": "a"}, {"login": "b", "password": PASSWORD}, "c").json()
    assert user("a").verifier == verifier


def test_the_same_put_again_changes_nothing_and_publishes_nothing(shop: Callable[..., Any]) -> None:
    entry = {"login": "a", "password": PASSWORD, "allowedIps": ["192.0.2.7"], "maxConnections": 3}
    shop(entry)
    before = ProxyUser.objects.filter(login="a").values().get()
    assert shop(entry).status_code == 200
    assert ProxyUser.objects.filter(login="a").values().get() == before


def test_a_repeated_put_does_not_undo_the_customers_changes(shop: Callable[..., Any]) -> None:
    entry = {"login": "a", "password": PASSWORD, "allowedIps": ["192.0.2.7"]}
    shop(entry)
    _changed, generated = proxy_users.change_by_owner(user("a"), {"password": None, "allowedIps": []})
    assert generated is not None
    shop(entry)
    assert passwords.matches(user("a").verifier, generated)
    assert user("a").allowed_ips == []
    shop(entry | {"password": "another-one", "allowedIps": ["192.0.2.8"]})
    assert passwords.matches(user("a").verifier, "another-one")
    assert user("a").allowed_ips == ["192.0.2.8/32"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "short"},
        {"password": "with space in it"},
        {"password": "x" * 73},
        {"password": "pässword-1"},
        {"password": "password-1\n"},
        {"password": 12345678},
        {"allowedIps": ["192.0.2.300"]},
        {"allowedIps": ["fe80::1%eth0"]},
        {"allowedIps": "192.0.2.1"},
        {"allowedIps": [f"192.0.2.{n}" for n in range(101)]},
        {"maxConnections": 0},
        {"maxConnections": True},
        {"maxConnections": 10**12},
        {"login": ""},
        {"login": None},
    ],
)
def test_a_bad_field_is_named_and_nothing_is_created(shop: Callable[..., Any], wrong: dict[str, Any]) -> None:
    answer = shop({"login": "a", **wrong})
    assert answer.status_code == 400
    assert "password-1" not in answer.content.decode()
    assert not ProxyUser.objects.exists()


def test_a_login_given_twice_with_different_settings_is_refused(shop: Callable[..., Any]) -> None:
    assert shop({"login": "a", "password": PASSWORD}, "a").status_code == 400
    assert shop("a", "a").status_code == 201


def test_passwords_appear_in_no_answer_and_no_log(
    shop: Callable[..., Any], staff: User, client_for: Callable[..., APIClient], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = shop({"login": "a", "password": PASSWORD})
    read = client_for(staff).get("/provisioning/orders/o-1")
    texts = [answer.content.decode(), read.content.decode(), caplog.text]
    assert all(PASSWORD not in text and user("a").verifier not in text for text in texts)


def test_customers_see_and_change_their_own_logins(
    clean_engine: Client, own: ProxyUser, alice: User, bob: User, client_for: Callable[..., APIClient]
) -> None:
    mine = client_for(alice)
    listed = mine.get("/proxy-users").json()["proxyUsers"]
    assert listed[0].pop("used") == {"dayBytes": 0, "monthBytes": 0, "totalBytes": 0}
    assert [(u["login"], u["hasPassword"], u["allowedIps"], u["maxConnections"]) for u in listed] == [
        ("alice-1", False, [], None)
    ]
    path = f"/proxy-users/{listed[0]['id']}"
    answer = mine.patch(path, {"password": None, "allowedIps": ["192.0.2.1"]}, format="json")
    assert passwords.matches(user("alice-1").verifier, answer.json()["password"])
    assert answer.json()["proxyUser"] | {"createdAt": ""} == {
        **listed[0], "hasPassword": True, "allowedIps": ["192.0.2.1/32"], "createdAt": "",
    }  # fmt: skip
    assert "password" not in mine.patch(path, {"password": PASSWORD}, format="json").json()
    assert passwords.matches(user("alice-1").verifier, PASSWORD)
    assert mine.patch(path, {"maxConnections": 99}, format="json").status_code == 200
    assert user("alice-1").max_connections is None
    assert client_for(bob).get("/proxy-users").json() == {"proxyUsers": []}
    assert client_for(bob).patch(path, {"allowedIps": []}, format="json").status_code == 404


def test_every_change_takes_a_later_number_and_a_deleted_login_is_remembered(
    shop: Callable[..., Any],
) -> None:
    shop({"login": "a", "password": PASSWORD}, "b")
    numbers = [number("a"), number("b")]
    shop({"login": "a", "password": "another-one"})
    assert number("a") > max(numbers)
    removed = RemovedLogin.objects.get(login="b")
    assert removed.number > max(numbers)
    shop("a", "b")
    assert not RemovedLogin.objects.exists()
    assert number("b") > removed.number


def test_staff_set_a_password_in_the_admin_and_it_is_not_in_the_audit_log(own: ProxyUser, admin_client: Any) -> None:
    form = {
        "login": "alice-2",
        "order": own.order_id,
        "max_connections": "2",
        "allowed_ips": "192.0.2.7\n2001:db8::/32",
        "new_password": PASSWORD,
    }
    url = f"/admin/orders/proxyuser/{own.pk}/change/"
    assert admin_client.post(url, form).status_code == 302
    changed = user("alice-2")
    assert passwords.matches(changed.verifier, PASSWORD)
    assert (changed.allowed_ips, changed.max_connections) == (["192.0.2.7/32", "2001:db8::/32"], 2)
    assert RemovedLogin.objects.get().login == "alice-1"
    history = admin_client.get(f"/admin/orders/proxyuser/{own.pk}/history/").content.decode()
    assert "max_connections" in history
    assert PASSWORD not in history
    page = admin_client.get(url).content.decode()
    assert changed.verifier not in page
    assert admin_client.post(url, form | {"allowed_ips": "no address"}).status_code == 200
    form["new_password"] = ""
    assert admin_client.post(url, form).status_code == 302
    assert user("alice-2").verifier == changed.verifier


def test_a_login_deleted_in_the_admin_is_published(own: ProxyUser, admin_client: Any) -> None:
    admin_client.post(f"/admin/orders/proxyuser/{own.pk}/delete/", {"post": "yes"})
    assert RemovedLogin.objects.get().login == "alice-1"


def test_pages_edit_addresses_and_show_a_new_password_once(own: ProxyUser, alice: User, client: Any) -> None:
    client.force_login(alice)
    assert "alice-1" in client.get("/dashboard/proxy-users").content.decode()
    page = f"/dashboard/proxy-users/{own.published_id}"
    assert client.post(page, {"allowedIps": "192.0.2.1\n192.0.2.2"}).status_code == 302
    assert user("alice-1").allowed_ips == ["192.0.2.1/32", "192.0.2.2/32"]
    refused = client.post(page, {"allowedIps": "nonsense"})
    assert "Must be IP addresses or networks" in refused.content.decode()
    shown = client.post(f"{page}/password")
    assert shown["Cache-Control"] == "no-store"
    assert user("alice-1").has_password
    assert client.get(page).status_code == 200


def test_hidden_settings_stay_when_a_login_moves_in_time(own: ProxyUser) -> None:
    """A change of one setting leaves the others as another process has just saved them."""
    ProxyUser.objects.filter(pk=own.pk).update(max_connections=7)
    proxy_users.change(own, {"allowed_ips": ["192.0.2.0/24"]})
    assert (user("alice-1").max_connections, user("alice-1").allowed_ips) == (7, ["192.0.2.0/24"])


def test_a_customers_change_is_published(own: ProxyUser) -> None:
    before = number("alice-1")
    proxy_users.change(own, {"max_connections": 2})
    assert number("alice-1") > before


def test_a_login_that_was_deleted_meanwhile_cannot_be_changed(own: ProxyUser) -> None:
    ProxyUser.objects.filter(pk=own.pk).delete()
    with pytest.raises(NotFound):
        proxy_users.change(own, {"max_connections": 2})


def test_limits_are_checked_again_after_staff_change_them_or_the_order_only(
    own: ProxyUser, alice: User, make_order: Callable[..., Order]
) -> None:
    make_order(alice, logins=["alice-2"])
    edited, other = user("alice-2"), make_order(alice)
    now = timezone.now()
    for changes, due_at in (
        ({"max_connections": 2}, None),
        ({"day_limit_bytes": 1000}, AT_ONCE),
        ({"login": "alice-3"}, None),
        ({"order": other}, AT_ONCE),
    ):
        ProxyUser.objects.update(limits_due_at=None)
        edited.refresh_from_db()
        for name, value in changes.items():
            setattr(edited, name, value)
        proxy_users.save(edited, now)
        assert ProxyUser.objects.get(pk=edited.pk).limits_due_at == due_at
    new = ProxyUser(order=other, login="alice-4")
    proxy_users.save(new, now)
    assert new.limits_due_at == AT_ONCE


def test_a_login_that_staff_move_out_of_a_stopped_order_is_listed_as_active_in_the_other(
    own: ProxyUser, alice: User, make_order: Callable[..., Order]
) -> None:
    now = timezone.now()
    stopped, other = own.order, make_order(alice)
    services.suspend(stopped, now)
    of_stopped = CutOff.objects.get(order=stopped)
    own.max_connections = 2
    proxy_users.save(own, now)
    assert CutOff.objects.get() == of_stopped
    assert CutOff.objects.get().number == of_stopped.number
    own.order = other
    proxy_users.save(own, now)
    moved = CutOff.objects.get(order=other)
    assert (moved.state, moved.number > of_stopped.number) == (State.ACTIVE, True)
    assert not BlockedLogin.objects.exists()


def test_staff_edits_are_published_and_a_stopped_login_keeps_its_stop_under_another_name(own: ProxyUser) -> None:
    now = timezone.now()
    before = number("alice-1")
    own.max_connections = 2
    proxy_users.save(own, now)
    assert number("alice-1") > before
    own.login = "alice-2"
    proxy_users.save(own, now)
    assert (own.stop_number, BlockedLogin.objects.count()) == (None, 0)
    own.stopped_until = now + timedelta(hours=1)
    own.save()
    before = number("alice-2")
    own.login = "alice-3"
    proxy_users.save(own, now)
    assert BlockedLogin.objects.get().login == "alice-2"
    assert own.stop_number is not None
    assert own.stop_number > before
    assert user("alice-3").stop_changed_at == now


def test_a_stop_by_limits_is_published_with_the_other_states_of_the_login(own: ProxyUser) -> None:
    before, now = number("alice-1"), timezone.now()
    proxy_users.stop({own: now + timedelta(hours=1)}, {own: None}, now)
    assert number("alice-1") > before


def test_erasing_a_customer_publishes_that_the_logins_are_gone(own: ProxyUser, alice: User) -> None:
    erasure.stop_logins(alice, timezone.now())
    first = RemovedLogin.objects.get()
    assert first.login == "alice-1"
    proxy_users.publish_removed(["alice-1"], timezone.now())  # as when an erasure that stopped halfway is repeated
    assert RemovedLogin.objects.get().number > first.number
