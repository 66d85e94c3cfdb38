from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.models import User
from tests.accounts.helpers import PASSWORD
from tests.accounts.test_authentication import BRACKETS

GOOD = {"username": "alice", "password": PASSWORD}


def post(path: str, body: Any, **headers: str) -> Any:
    if isinstance(body, str | bytes):
        return APIClient().post(path, body, content_type="application/json", headers=headers)
    return APIClient().post(path, body, format="json", headers=headers)


def test_a_password_buys_a_pair_of_tokens(alice: User) -> None:
    response = post("/auth/token", GOOD)
    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    assert post_with(response.json()["access"]) == 200


def post_with(access: str) -> int:
    return APIClient().get("/orders", headers={"authorization": f"Bearer {access}"}).status_code


def test_spaces_belong_to_a_password(alice: User) -> None:
    alice.set_password(" spaced ")
    alice.save()
    assert post("/auth/token", {"username": "alice", "password": " spaced "}).status_code == 200


@pytest.mark.parametrize("body", [{**GOOD, "password": "wrong"}, {**GOOD, "username": "nobody"}])
def test_a_wrong_name_or_password_is_the_same_401(alice: User, body: dict[str, str]) -> None:
    response = post("/auth/token", body)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert response.json()["detail"] == "The user name or the password is wrong."


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


def test_a_long_password_is_only_wrong(alice: User) -> None:
    assert post("/auth/token", {**GOOD, "password": "x" * 60_000}).status_code == 401


def test_a_body_beyond_the_limit_is_a_413(alice: User) -> None:
    assert post("/auth/token", {**GOOD, "password": "x" * 70_000}).status_code == 413


def test_a_form_is_not_json(alice: User) -> None:
    assert APIClient().post("/auth/token", GOOD, format="multipart").status_code == 415


def test_errors_stay_json_for_whoever_prefers_csv(alice: User) -> None:
    response = post("/auth/token", {}, accept="text/csv")
    assert response["Content-Type"] == "application/json"
    assert {error["field"] for error in response.json()["errors"]} == {"username", "password"}


def test_guessing_a_password_is_slowed_down(alice: User) -> None:
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


def test_refreshing_is_not_counted_as_guessing(alice: User) -> None:
    refresh = {"refresh": str(RefreshToken.for_user(alice))}
    assert {post("/auth/token/refresh", refresh).status_code for _ in range(12)} == {200}


def test_a_refresh_token_buys_an_access_token(alice: User) -> None:
    response = post("/auth/token/refresh", {"refresh": str(RefreshToken.for_user(alice))})
    assert set(response.json()) == {"access"}
    assert post_with(response.json()["access"]) == 200


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "another"}])
def test_a_refresh_token_ends_with_the_account_or_its_password(alice: User, change: dict[str, Any]) -> None:
    refresh = str(RefreshToken.for_user(alice))
    User.objects.update(**change)
    assert post("/auth/token/refresh", {"refresh": refresh}).status_code == 401


def test_a_refresh_token_of_a_deleted_user_is_a_401(alice: User) -> None:
    refresh = str(RefreshToken.for_user(alice))
    alice.delete()
    response = post("/auth/token/refresh", {"refresh": refresh})
    assert response.status_code == 401
    assert response.json()["detail"] == "The token is not valid."


@pytest.mark.parametrize("token", ["x", "a.b.c", BRACKETS, "ö.ö.ö"])
def test_a_malformed_refresh_token_is_a_401(db: None, token: str) -> None:
    assert post("/auth/token/refresh", {"refresh": token}).status_code == 401


def test_an_access_token_refreshes_nothing(alice: User) -> None:
    assert post("/auth/token/refresh", {"refresh": str(AccessToken.for_user(alice))}).status_code == 401
