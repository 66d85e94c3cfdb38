from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from rest_framework.test import APIClient

from accounts import factors, tasks
from accounts.models import TokenFamily, User
from tests.accounts.helpers import PASSWORD, access, refresh
from tests.accounts.test_authentication import BRACKETS

GOOD = {"username": "alice", "password": PASSWORD}


def post(path: str, body: Any, **headers: str) -> Any:
    if isinstance(body, str | bytes):
        return APIClient().post(path, body, content_type="application/json", headers=headers)
    return APIClient().post(path, body, format="json", headers=headers)


def test_a_password_is_exchanged_for_a_pair_of_tokens(alice: User) -> None:
    response = post("/auth/token", GOOD)
    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    assert post_with(response.json()["access"]) == 200


def post_with(access: str) -> int:
    return APIClient().get("/orders", headers={"authorization": f"Bearer {access}"}).status_code


def test_spaces_are_part_of_a_password(alice: User) -> None:
    alice.set_password(" spaced ")
    alice.save()
    assert post("/auth/token", {"username": "alice", "password": " spaced "}).status_code == 200


@pytest.mark.parametrize("body", [{**GOOD, "password": "wrong"}, {**GOOD, "username": "nobody"}])
def test_a_wrong_name_or_password_is_the_same_401(alice: User, body: dict[str, str]) -> None:
    response = post("/auth/token", body)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert response.json()["detail"] == "The user name or the password is wrong."


@pytest.mark.parametrize("change", [{"password": "another one entirely"}, {"is_active": False}])
def test_a_sign_in_that_is_overtaken_by_a_new_password_or_a_lock_gets_no_tokens(
    alice: User, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing takes so long that somebody who signs in again and again would often be between the two."""

    def change_meanwhile(user: User) -> bool:
        current = User.objects.get(pk=user.pk)
        if "password" in change:
            current.set_password(change["password"])
        else:
            current.is_active = False
        current.save()
        return False

    monkeypatch.setattr(factors, "is_enrolled", change_meanwhile)
    response = post("/auth/token", GOOD)
    assert (response.status_code, TokenFamily.objects.exists()) == (401, False)
    assert response.json()["detail"] == "The user name or the password is wrong."


class CountingHasher(MD5PasswordHasher):
    hashes = 0

    def encode(self, password: str, salt: str) -> str:
        CountingHasher.hashes += 1
        return super().encode(password, salt)


@pytest.mark.parametrize("name", ["alice", "nobody", "inactive", "invited", "ALICE", "alice\u200b"])
def test_every_refused_sign_in_hashes_once_to_hide_which_accounts_exist(
    name: str, alice: User, settings: Any, client: Client
) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    User.objects.create_user("inactive", password=PASSWORD, is_active=False)
    User.objects.create_user("invited")  # has no password yet
    alice.set_password(PASSWORD)
    alice.save()
    for sign_in in (
        lambda: post("/auth/token", {"username": name, "password": "wrong"}).status_code,
        lambda: client.post("/sign-in", {"username": name, "password": "wrong"}).status_code,
    ):
        CountingHasher.hashes = 0
        assert sign_in() in (401, 200)
        assert CountingHasher.hashes == 1


def test_an_inactive_user_gets_no_token(alice: User) -> None:
    User.objects.update(is_active=False)
    assert post("/auth/token", GOOD).status_code == 401


def test_a_credential_of_another_kind_does_not_disturb_signing_in(alice: User) -> None:
    assert post("/auth/token", GOOD, **{"x-api-key": "wrong"}).status_code == 200


JUNK: list[Any] = [
    *(
        b"",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{",
        b"\xff",
        b"NaN",
        b"[" * 60_000,
        b'{"username": ' + b"9" * 5000 + b"}",
    ),
    *(b'{"username": "\\ud800", "password": "x"}', b'{"username": "x", "password": "\\udfff"}'),
    *({}, {"username": "alice"}, {**GOOD, "username": 5}, {**GOOD, "username": None}, {**GOOD, "username": ["alice"]}),
    *({**GOOD, "password": 5}, {**GOOD, "password": True}, {**GOOD, "username": "a\0"}, {**GOOD, "password": "\0"}),
    {**GOOD, "username": "x" * 60_000},
]


@pytest.mark.parametrize("body", JUNK)
def test_a_body_that_is_not_as_documented_is_a_400(alice: User, body: Any) -> None:
    assert post("/auth/token", body).status_code == 400
    assert post("/auth/token/refresh", body).status_code == 400


def test_a_very_long_password_is_refused_as_wrong(alice: User) -> None:
    assert post("/auth/token", {**GOOD, "password": "x" * 60_000}).status_code == 401


def test_a_body_beyond_the_limit_is_a_413(alice: User) -> None:
    assert post("/auth/token", {**GOOD, "password": "x" * 70_000}).status_code == 413


def test_a_form_encoded_body_is_refused(alice: User) -> None:
    assert APIClient().post("/auth/token", GOOD, format="multipart").status_code == 415


def test_errors_stay_json_for_clients_that_prefer_csv(alice: User) -> None:
    response = post("/auth/token", {}, accept="text/csv")
    assert response["Content-Type"] == "application/json"
    assert {error["field"] for error in response.json()["errors"]} == {"username", "password"}


def test_password_guesses_are_throttled(alice: User) -> None:
    wrong = [post("/auth/token", {"username": name, "password": "x"}) for name in ["alice", "ALICE"] * 5]
    assert {response.status_code for response in wrong} == {401}
    slowed = post("/auth/token", GOOD)
    assert slowed.status_code == 429
    assert int(slowed["Retry-After"]) > 0


def test_guessing_one_password_does_not_lock_out_another_name(alice: User, bob: User) -> None:
    for _ in range(11):
        post("/auth/token", {"username": "alice", "password": "x"})
    assert post("/auth/token", {"username": "bob", "password": PASSWORD}).status_code == 200


def test_guessing_from_one_address_does_not_lock_out_another(alice: User) -> None:
    for _ in range(11):
        post("/auth/token", {**GOOD, "password": "x"})
    assert APIClient(REMOTE_ADDR="10.0.0.9").post("/auth/token", GOOD, format="json").status_code == 200


def renew(refresh: str) -> Any:
    return post("/auth/token/refresh", {"refresh": refresh})


def test_refreshing_is_not_counted_as_guessing(alice: User) -> None:
    token = refresh(alice)
    for _ in range(12):
        token = renew(token).json()["refresh"]


def test_a_refresh_token_is_exchanged_for_a_new_pair(alice: User) -> None:
    first = post("/auth/token", GOOD).json()
    second = renew(first["refresh"]).json()
    assert set(second) == {"access", "refresh"}
    assert second["refresh"] != first["refresh"]
    assert post_with(second["access"]) == 200


def test_a_refresh_token_that_is_used_twice_ends_its_family_and_no_other(alice: User) -> None:
    other = post("/auth/token", GOOD).json()
    first = post("/auth/token", GOOD).json()
    second = renew(first["refresh"]).json()
    assert renew(first["refresh"]).status_code == 401
    assert renew(second["refresh"]).status_code == 401
    assert [post_with(pair["access"]) for pair in (first, second, other)] == [401, 401, 200]


def test_a_family_ends_two_weeks_after_its_sign_in_however_often_it_is_refreshed(alice: User) -> None:
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        token = refresh(alice)
        clock.shift(timedelta(days=13))
        token = renew(token).json()["refresh"]
        clock.shift(timedelta(days=1))
        assert renew(token).status_code == 401


def test_tokens_of_staff_end_after_hours(helper: User) -> None:
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        token = refresh(helper)
        clock.shift(timedelta(hours=7))
        token = renew(token).json()["refresh"]
        clock.shift(timedelta(hours=1))
        assert renew(token).status_code == 401


def test_expired_families_are_purged(alice: User) -> None:
    refresh(alice)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=15)):
        refresh(alice)
        tasks.purge_sign_ins()
        assert TokenFamily.objects.count() == 1


@pytest.mark.parametrize("token", ["x", "a.b.c", BRACKETS, "ö.ö.ö"])
def test_a_malformed_refresh_token_is_a_401(db: None, token: str) -> None:
    assert post("/auth/token/refresh", {"refresh": token}).status_code == 401


def test_an_access_token_refreshes_nothing(alice: User) -> None:
    assert post("/auth/token/refresh", {"refresh": access(alice)}).status_code == 401
