"""Which logins are allowed: every reason to refuse, throttled guesses, and the forms of other programs."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import issue_key
from orders import passwords, proxy_users
from orders import services as order_services
from orders.gateway import guessing
from orders.models import SESSION_SILENCE, Order, ProxySession, ProxyUser
from tests.accounts.helpers import client_with

PASSWORD = "correct-horse-1"
GB = 2**30


@pytest.fixture
def key(staff: User) -> str:
    return issue_key(user=staff, name="gw", scopes=["gateway"], now=timezone.now())[1]


@pytest.fixture
def gateway(key: str) -> APIClient:
    return client_with(key)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    order = make_order(alice, limit=GB, logins=["alice"])
    proxy_users.change(ProxyUser.objects.get(), {"verifier": passwords.verifier_of(PASSWORD)})
    return order


def settings(**changed: Any) -> None:
    proxy_users.change(ProxyUser.objects.get(login="alice"), changed)


def asked(gateway: APIClient, login: str = "alice", password: str | None = PASSWORD, **rest: Any) -> str:
    """The reason of the refusal, or "allowed"."""
    body = json.dumps({"login": login, "password": password, **rest})
    answer = gateway.post("/gateway/authorize", body, content_type="application/json")
    assert answer.status_code == (200 if answer.json()["allowed"] else 403)
    return str(answer.json().get("reason", "allowed"))


def test_the_right_password_is_accepted_and_the_answer_has_the_bytes_left(gateway: APIClient, order: Order) -> None:
    answer = gateway.post("/gateway/authorize", {"login": "alice", "password": PASSWORD}, format="json")
    assert answer.json() == {
        "allowed": True, "login": "alice", "orderId": order.published_id, "bytesLeft": GB, "cacheSeconds": 10,
    }  # fmt: skip


def test_bytes_left_is_null_without_a_limit(gateway: APIClient, alice: User, make_order: Callable[..., Order]) -> None:
    make_order(alice, limit=None, logins=["free"])
    assert gateway.post("/gateway/authorize", {"login": "free"}, format="json").json()["bytesLeft"] is None


@pytest.mark.parametrize("password", ["wrong-password", "", "pässword-1", "x" * 9000, "\0", "\ud800", f"{PASSWORD} "])
def test_a_wrong_password_is_refused(gateway: APIClient, order: Order, password: str) -> None:
    assert asked(gateway, password=password) == "bad_password"


@pytest.mark.parametrize("login", ["nobody", "", "ALICE", "alice ", "\0", "\ud800", "x" * 9000])
def test_an_unknown_login_is_refused(gateway: APIClient, order: Order, login: str) -> None:
    assert asked(gateway, login) == "unknown"


def test_without_a_password_only_the_state_is_checked(gateway: APIClient, order: Order) -> None:
    assert asked(gateway, password=None) == "allowed"
    order_services.suspend(order, timezone.now())
    assert asked(gateway, password=None) == "suspended"


def test_a_login_without_password_never_signs_in_with_one(gateway: APIClient, order: Order) -> None:
    settings(verifier="")
    assert asked(gateway, password="") == "bad_password"
    assert asked(gateway, password=PASSWORD) == "bad_password"


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        ("192.0.2.200", "allowed"),
        ("::ffff:192.0.2.200", "allowed"),
        ("2001:db8::7", "allowed"),
        ("198.51.100.1", "ip_not_allowed"),
        ("2001:db9::7", "ip_not_allowed"),
        ("", "ip_not_allowed"),
        ("no address", "ip_not_allowed"),
    ],
)
def test_only_allowed_addresses_pass(gateway: APIClient, order: Order, client: str, reason: str) -> None:
    settings(allowed_ips=["192.0.2.0/24", "2001:db8::/32"])
    assert asked(gateway, clientIp=client) == reason


def test_a_stopped_order_is_refused_at_once_until_it_is_active_again(gateway: APIClient, order: Order) -> None:
    now = timezone.now()
    order_services.credit(order, order_services.CREDITS[2], -GB, reference=None, author="", now=now)
    assert asked(gateway) == "exhausted"
    order_services.credit(order, order_services.CREDITS[0], 1, reference=None, author="", now=now)
    assert asked(gateway) == "allowed"
    order_services.suspend(order, now)
    assert asked(gateway) == "suspended"
    order_services.expire(order, now)
    assert asked(gateway) == "expired"


def test_a_connection_beyond_the_limit_is_refused_until_one_ends(gateway: APIClient, order: Order) -> None:
    settings(max_connections=2)
    now = timezone.now()

    def report(session: str, **fields: Any) -> None:
        row = {"login": "alice", "order": order, "proxy_user_number": 1, "started_at": now, "seen_at": now}
        ProxySession.objects.create(session=session, worker="w", **{**row, **fields})

    report("1")
    report("another's", login="bob")
    report("ended", ended_at=now)
    report("silent", seen_at=now - SESSION_SILENCE - timedelta(seconds=1))
    assert asked(gateway) == "allowed"
    report("2")
    assert asked(gateway) == "too_many_connections"
    ProxySession.objects.filter(session="1").update(ended_at=now)
    assert asked(gateway) == "allowed"


def test_password_guesses_from_one_address_do_not_block_the_customer_at_another(
    gateway: APIClient, order: Order
) -> None:
    for _ in range(guessing.MAX_FAILURES):
        assert asked(gateway, password="wrong-password", clientIp="198.51.100.1") == "bad_password"
    assert asked(gateway, clientIp="198.51.100.1") == "bad_password"
    assert asked(gateway, clientIp="192.0.2.1") == "allowed"
    cache.clear()  # the window ends
    assert asked(gateway, clientIp="198.51.100.1") == "allowed"


def test_password_guesses_are_counted_per_ipv6_network(gateway: APIClient, order: Order) -> None:
    for number in range(guessing.MAX_FAILURES):
        asked(gateway, password="wrong-password", clientIp=f"2001:db8::{number}")
    assert asked(gateway, clientIp="2001:db8::ffff") == "bad_password"
    assert asked(gateway, clientIp="2001:db8:0:1::1") == "allowed"


def test_password_guesses_through_a_gateway_without_addresses_do_not_block_the_customer(
    gateway: APIClient, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(gateway) == "allowed"
    for _ in range(guessing.MAX_FAILURES):
        asked(gateway, password="wrong-password")
    assert asked(gateway) == "allowed"
    checked: list[str] = []
    monkeypatch.setattr(passwords, "matches", lambda verifier, password: checked.append(password))
    assert asked(gateway, password="wrong-password") == "bad_password"
    assert checked == []


def test_a_password_is_checked_once_and_a_new_one_ends_the_old(
    gateway: APIClient, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    matches = passwords.matches

    def counted(verifier: str, password: str) -> bool:
        checked.append(password)
        return matches(verifier, password)

    monkeypatch.setattr(passwords, "matches", counted)
    assert asked(gateway) == asked(gateway) == "allowed"
    assert checked == [PASSWORD]
    settings(verifier=passwords.verifier_of("another-password"))
    assert asked(gateway) == "bad_password"
    assert asked(gateway, password="another-password") == "allowed"


def test_passwords_are_not_logged(gateway: APIClient, order: Order, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        asked(gateway)
        asked(gateway, password="wrong-password")
    assert PASSWORD not in caplog.text
    assert "wrong-password" not in caplog.text


@pytest.mark.parametrize(
    "body", [[], {}, {"login": 1}, {"login": None}, {"login": "alice", "password": 1}, {"User-Name": {}}, "alice"]
)
@pytest.mark.parametrize("path", ["authorize", "radius/authorize", "gost/auth"])
def test_a_malformed_body_is_refused_without_a_crash(gateway: APIClient, order: Order, body: Any, path: str) -> None:
    answer = gateway.post(f"/gateway/{path}", body, format="json")
    assert answer.status_code in (400, 401) or answer.json() == {"ok": False}


def radius(gateway: APIClient, **attributes: str) -> Any:
    body = {name.replace("_", "-"): {"type": "string", "value": [value]} for name, value in attributes.items()}
    return gateway.post("/gateway/radius/authorize", body, format="json")


def test_radius_accepts_with_an_interim_interval_and_rejects_with_the_reason(gateway: APIClient, order: Order) -> None:
    answer = radius(gateway, User_Name="alice", User_Password=PASSWORD)
    assert answer.json() == {"control:Auth-Type": "Accept", "reply:Acct-Interim-Interval": 60}
    refused = radius(gateway, User_Name="alice", User_Password="wrong-password")
    assert (refused.status_code, refused.json()) == (401, {"reply:Reply-Message": "bad_password"})
    assert radius(gateway, User_Name="alice").json() == {"reply:Reply-Message": "bad_password"}
    settings(allowed_ips=["192.0.2.1"])
    assert radius(gateway, User_Name="alice", User_Password=PASSWORD).status_code == 401
    allowed = radius(gateway, User_Name="alice", User_Password=PASSWORD, Calling_Station_Id="192.0.2.1")
    assert allowed.status_code == 200


@pytest.mark.parametrize("written", ["j\u00c3\u00b6rg", "j\u00f6rg"])
def test_radius_knows_a_login_by_its_bytes_and_by_its_characters(
    gateway: APIClient, alice: User, make_order: Callable[..., Order], written: str
) -> None:
    make_order(alice, logins=("j\u00f6rg",))
    assert radius(gateway, User_Name=written).json() == {"reply:Reply-Message": "bad_password"}


def test_gost_gets_the_login_as_the_clients_id(gateway: APIClient, order: Order) -> None:
    def auth(**body: str) -> Any:
        return gateway.post("/gateway/gost/auth", body, format="json").json()

    settings(allowed_ips=["192.0.2.1", "2001:db8::1"])
    asked = {"username": "alice", "password": PASSWORD}
    assert auth(**asked, client="192.0.2.1:5000") == {"ok": True, "id": "alice"}
    assert auth(**asked, client="[2001:db8::1]:5000") == {"ok": True, "id": "alice"}
    assert auth(**asked, client="192.0.2.2:5000") == {"ok": False}
    assert auth(username="alice", client="192.0.2.1:5000") == {"ok": False}


def test_a_key_is_accepted_as_the_http_basic_password(key: str, order: Order, alice: User) -> None:
    def status(credential: str) -> int:
        client = APIClient(HTTP_AUTHORIZATION=f"Basic {credential}")
        return client.post("/gateway/authorize", {"login": "alice"}, format="json").status_code

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    assert status(encoded(f"gw1:{key}")) == 200
    own = issue_key(user=alice, name="own", scopes=["read"], now=timezone.now())[1]
    assert status(encoded(f"gw1:{own}")) == 403
    for wrong in (encoded("gw1:fnp_1"), encoded("gw1"), "%%%", "", base64.b64encode(b"\xff:\xff").decode()):
        assert status(wrong) == 401
