"""Sessions: useless to a reader of the database, short for staff, listed and ended by their owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core import signing
from django.db import connection
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import password_links, tasks
from accounts.models import ApiKey, Session, User
from accounts.sessions import SessionStore, hashed
from tests.accounts.helpers import PASSWORD, access


@pytest.fixture
def clock(db: None) -> Iterator[Any]:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        yield clock


def signed_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get("/orders").status_code == 200


def test_the_sessions_table_contains_no_cookie_value(alice: User) -> None:
    cookie = signed_in(alice).cookies["sessionid"].value
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM sessions")
        [row] = cursor.fetchall()
    assert cookie not in str(row)
    for stolen in map(str, row):
        thief = Client()
        thief.cookies["sessionid"] = stolen.replace("\0", "")
        assert not is_signed_in(thief)


def test_session_data_is_unreadable_in_the_table(alice: User) -> None:
    link = password_links.make(alice, timezone.now()).url.removeprefix(str(settings.PUBLIC_URL))
    browser = Client()
    form = browser.get(link).headers["Location"]
    data = Session.objects.get().session_data
    with pytest.raises(signing.BadSignature):
        signing.loads(data, salt=SessionStore().key_salt)
    assert link.rpartition("/")[2] in str(SessionStore().decode(data))
    assert "new_password1" in browser.get(form).content.decode()
    Session.objects.update(session_data=signing.dumps({}, salt=SessionStore().key_salt))  # of an older version
    assert "new_password1" not in browser.get(form).content.decode()


@pytest.mark.parametrize("cookie", ["", "x", "ÿ" * 32, "'; --", "x" * 4000])
def test_an_unknown_session_cookie_is_not_signed_in(cookie: str, alice: User) -> None:
    browser = Client()
    browser.cookies["sessionid"] = cookie
    assert not is_signed_in(browser)


def test_a_session_of_staff_ends_when_idle(staff: User, alice: User, clock: Any) -> None:
    browsers = signed_in(staff), signed_in(alice)
    clock.shift(timedelta(minutes=29))
    assert all(map(is_signed_in, browsers))
    clock.shift(timedelta(minutes=29))
    assert all(map(is_signed_in, browsers))
    clock.shift(timedelta(minutes=30))
    assert [is_signed_in(browser) for browser in browsers] == [False, True]


def test_a_session_of_staff_ends_after_hours_of_work(staff: User, clock: Any) -> None:
    browser = signed_in(staff)
    for _ in range(31):
        clock.shift(timedelta(minutes=15))
        assert is_signed_in(browser)
    clock.shift(timedelta(minutes=15))
    assert not is_signed_in(browser)


def test_most_requests_write_nothing(alice: User, clock: Any, django_assert_num_queries: Callable[..., Any]) -> None:
    browser = signed_in(alice)
    with django_assert_num_queries(3):  # the session, the user, the orders
        browser.get("/orders")


def test_a_user_sees_their_sessions_and_ends_one(alice: User, bob: User) -> None:
    here, there, of_bob = signed_in(alice), Client(headers={"User-Agent": "Other/1"}), signed_in(bob)
    there.post("/sign-in", {"username": "alice", "password": PASSWORD})
    page = here.get("/dashboard/account").content.decode()
    assert "Other/1" in page
    assert page.count('class="plain">Sign out<') == 1
    cookies = [browser.cookies["sessionid"].value for browser in (here, there, of_bob)]
    assert not any(cookie in page for cookie in cookies)
    assert here.post(f"/dashboard/account/sessions/{hashed(cookies[2])}").status_code == 404
    assert here.post("/dashboard/account/sessions/%00").status_code == 404
    assert here.post(f"/dashboard/account/sessions/{hashed(cookies[1])}").status_code == 302
    assert [is_signed_in(browser) for browser in (here, there, of_bob)] == [True, False, True]


def test_signing_out_ends_all_sessions_and_tokens(alice: User) -> None:
    here, there, token = signed_in(alice), signed_in(alice), access(alice)
    here.post("/sign-out")
    assert not is_signed_in(there)
    assert APIClient().get("/orders", headers={"authorization": f"Bearer {token}"}).status_code == 401
    assert not Session.objects.filter(user=alice).exists()


def test_expired_sessions_are_purged(alice: User, bob: User, clock: Any) -> None:
    signed_in(alice)
    clock.shift(timedelta(days=15))
    signed_in(bob)
    tasks.purge_sign_ins()
    assert Session.objects.get().user == bob


CHANGES = [
    ("/dashboard/keys", {"name": "k", "scopes": ["read"]}),
    ("/dashboard/applications", {"name": "a"}),
    ("/dashboard/account/factor", {"code": "123456"}),
    ("/dashboard/account/recovery-codes", {}),
    ("/dashboard/account/factor/remove", {}),
]


@pytest.mark.parametrize(("path", "body"), CHANGES)
def test_changing_credentials_needs_a_recent_sign_in(path: str, body: dict[str, Any], alice: User, clock: Any) -> None:
    browser = signed_in(alice)
    clock.shift(timedelta(minutes=15))
    assert browser.post(path, body).headers["Location"].startswith("/confirm?next=")
    assert not ApiKey.objects.exists()
    assert browser.post("/confirm", {"password": "wrong"}).status_code == 200
    assert browser.post(path, body).headers["Location"].startswith("/confirm?next=")
    assert browser.post(f"/confirm?next={path}", {"password": PASSWORD}).headers["Location"] == path
    answer = browser.post(path, body)
    assert answer.status_code in (200, 404) or not answer.headers["Location"].startswith("/confirm")


def test_confirming_never_redirects_to_another_site(alice: User) -> None:
    answer = signed_in(alice).post("/confirm?next=https://evil.example/", {"password": PASSWORD})
    assert answer.headers["Location"] == "/dashboard"


def test_an_old_session_cannot_create_a_key_through_the_api(alice: User, clock: Any) -> None:
    token, browser = access(alice), APIClient()
    browser.force_login(alice)
    clock.shift(timedelta(minutes=14))
    program = APIClient(headers={"authorization": f"Bearer {token}"})
    assert {client.post("/api-keys", {"name": "k"}, format="json").status_code for client in (program, browser)} == {
        201
    }
    clock.shift(timedelta(minutes=1))
    refused = browser.post("/api-keys", {"name": "k"}, format="json")
    assert (refused.status_code, refused.json()["message"]) == (403, "auth.proof_required")
    assert browser.get("/api-keys").status_code == 200
    key = ApiKey.objects.first()
    assert key is not None
    assert browser.delete(f"/api-keys/{key.published_id}").status_code == 204


def test_an_old_token_family_cannot_create_a_key(alice: User, clock: Any) -> None:
    pair = APIClient().post("/auth/token", {"username": "alice", "password": PASSWORD}, format="json").json()
    clock.shift(timedelta(minutes=16))
    renewed = APIClient().post("/auth/token/refresh", {"refresh": pair["refresh"]}, format="json").json()
    program = APIClient(headers={"authorization": f"Bearer {renewed['access']}"})
    assert program.post("/api-keys", {"name": "k"}, format="json").status_code == 403
    assert program.get("/api-keys").status_code == 200


ADMIN_PAGES = [
    "accounts/apikey/add/",
    "accounts/user/add/",
    "accounts/user/{}/change/",
    "accounts/user/{}/password/",
    "accounts/application/add/",
    "auth/group/add/",
]


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_the_admin_needs_a_recent_sign_in_too(page: str, alice: User, clock: Any) -> None:
    browser = signed_in(User.objects.create_superuser("root"))
    address = f"/admin/{page.format(alice.pk)}"
    assert browser.get(address).status_code == 200
    clock.shift(timedelta(minutes=16))
    assert browser.get("/admin/").status_code == 200
    for method in ("GET", "POST"):
        answer = browser.generic(method, address)
        assert answer.headers["Location"].startswith("/confirm?next=")
