from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import time_machine
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIClient

from accounts import applications, sharing, tokens
from accounts.models import ApiKey, AuditRecord, User
from accounts.services import revoke_key
from fonproxy.clickhouse.client import Client
from orders.models import Order
from tests.accounts.helpers import access, client_with, refresh

MakeKey = Callable[..., str]
UNKNOWN = "fnp_" + "0" * 64
BRACKETS = base64.urlsafe_b64encode(b"[" * 20_000).decode().rstrip("=") + ".e30.e30"


def call(**headers: str) -> Any:
    return APIClient().get("/orders", headers=headers)


def test_a_key_is_read_from_x_api_key(alice: User, make_key: MakeKey) -> None:
    assert call(**{"x-api-key": make_key(alice)}).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_key_is_accepted_as_a_bearer_token(alice: User, make_key: MakeKey, scheme: str) -> None:
    assert call(authorization=f"{scheme} {make_key(alice)}").status_code == 200


def test_a_known_key_is_one_query_once_its_use_is_recorded(
    alice: User, make_key: MakeKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key = make_key(alice)
    call(**{"x-api-key": key})
    with django_assert_num_queries(2):  # the key with its user, then the orders
        call(**{"x-api-key": key})


def test_the_use_of_a_key_is_recorded(alice: User, make_key: MakeKey) -> None:
    call(**{"x-api-key": make_key(alice)})
    assert ApiKey.objects.get().last_access_at is not None


def test_the_access_log_names_the_account(alice: User, make_key: MakeKey) -> None:
    assert call(**{"x-api-key": make_key(alice)}).wsgi_request.account_id == alice.pk
    assert call(authorization=f"Bearer {access(alice)}").wsgi_request.account_id == alice.pk


def test_the_access_log_names_the_account_of_an_applications_key(alice: User, clean_engine: Client) -> None:
    application, keys = applications.create(alice, "Shop API", timezone.now())
    headers = {"X-Auth-User": application.published_id, "X-Auth-Key": keys.read}
    response: Any = APIClient().get("/1/timeseries/1795219200/1795222800/", headers=headers)
    assert (response.status_code, response.wsgi_request.account_id) == (200, alice.pk)


def test_the_access_log_names_the_account_of_a_key_pair(
    alice: User, make_key: MakeKey, make_order: Callable[..., Order]
) -> None:
    make_order(alice)
    secret = make_key(alice)
    response = call_with_pair(secret[:8], secret)
    assert (response.status_code, response.wsgi_request.account_id) == (200, alice.pk)


def test_the_access_log_names_the_account_of_a_share_link(alice: User, clean_engine: Client) -> None:
    view = {"range": "7d", "tz": "UTC"}
    _, secret = sharing.create(alice, "For Kim", view, timedelta(days=1), alice, timezone.now())
    response: Any = APIClient().get(f"/shared/{secret}/websites")
    assert (response.status_code, response.wsgi_request.account_id) == (200, alice.pk)
    assert APIClient().get(f"/shared/{secret[::-1]}/websites").status_code == 404


def call_with_pair(public: str | None, private: str | None, **more: str) -> Any:
    pair = {"X-API-Public-Key": public, "X-API-Private-Key": private}
    return APIClient().get("/residential/summary", headers={**more, **{k: v for k, v in pair.items() if v is not None}})


def test_half_a_key_pair_or_a_wrong_one_is_refused_beside_a_good_key(alice: User, make_key: MakeKey) -> None:
    secret, other = make_key(alice), make_key(alice)
    for public, private, reason in (
        (None, secret, "X-API-Public-Key and X-API-Private-Key are both required."),
        (secret[:8], None, "X-API-Public-Key and X-API-Private-Key are both required."),
        (other[:8], secret, "The API key is not valid."),
        (secret[:8], UNKNOWN, "The API key is not valid."),
    ):
        refused = call_with_pair(public, private, **{"x-api-key": secret})
        assert (refused.status_code, refused.json()["message"]) == (401, reason)


def test_an_applications_id_or_key_alone_is_refused(alice: User, clean_engine: Client) -> None:
    application, keys = applications.create(alice, "Shop API", timezone.now())
    series = "/1/timeseries/1795219200/1795222800/"
    for headers in ({"X-Auth-User": application.published_id}, {"X-Auth-Key": keys.read}):
        refused = APIClient().get(series, headers=headers)
        assert (refused.status_code, "do not match" in refused.content.decode()) == (401, True)
    assert "do not match" not in APIClient().get(series).content.decode()


def test_a_change_of_a_key_is_in_the_audit_trail_with_its_person(
    alice: User, make_key: MakeKey, client_for: Callable[..., APIClient]
) -> None:
    key = make_key(alice)
    number = ApiKey.objects.get().published_id
    assert client_for(alice).delete(f"/api-keys/{number}").status_code == 204
    [row] = AuditRecord.objects.filter(action="api key revoked")
    assert (row.kind, row.number, row.actor_id, row.key_id) == ("user", alice.pk, alice.pk, None)
    assert call(**{"x-api-key": key}).status_code == 401


def test_a_401_for_applications_names_their_authentication_scheme(alice: User, clean_engine: Client) -> None:
    application, keys = applications.create(alice, "Shop API", timezone.now())
    known, path = application.published_id, "/1/timeseries/1795219200/1795222800/"
    for pair in ({}, {"X-Auth-User": known}, {"X-Auth-Key": keys.read}, {"X-Auth-User": known, "X-Auth-Key": "x"}):
        refused = APIClient().get(path, headers=pair)
        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Application"), pair


def refusal(response: Any) -> str:
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    detail: str = response.json()["detail"]
    return detail


def test_every_bad_key_is_refused_with_the_same_message(alice: User, bob: User, make_key: MakeKey) -> None:
    revoked, expired, inactive = make_key(alice), make_key(alice), make_key(bob)
    revoke_key(ApiKey.objects.earliest("pk"), timezone.now())
    ApiKey.objects.filter(prefix=expired[:8]).update(expires_at=timezone.now() - timedelta(seconds=1))
    User.objects.filter(pk=bob.pk).update(is_active=False)
    bad = [revoked, expired, inactive, UNKNOWN, "fnp_", UNKNOWN.upper(), UNKNOWN + "\n0", "ÿ", "", "a password"]
    assert {refusal(call(**{"x-api-key": key})) for key in bad} == {"The API key is not valid."}


def test_a_bad_bearer_key_is_refused(db: None) -> None:
    assert refusal(call(authorization=f"Bearer {UNKNOWN}")) == "The API key is not valid."


def test_a_wrong_key_is_refused_even_beside_a_valid_token(alice: User) -> None:
    response = call(**{"x-api-key": UNKNOWN, "authorization": f"Bearer {access(alice)}"})
    assert refusal(response) == "The API key is not valid."


def test_a_wrong_key_is_refused_even_beside_a_session(alice: User) -> None:
    client = client_with(UNKNOWN)
    client.force_login(alice)
    assert client.get("/orders").status_code == 401


def test_a_token_signs_in(alice: User, client_for: Callable[..., APIClient]) -> None:
    assert client_for(alice).get("/orders").status_code == 200


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a b", "ÿ", BRACKETS, "e30.e30.e30"])
def test_a_malformed_token_is_refused(db: None, token: str) -> None:
    assert refusal(call(authorization=f"Bearer {token}")) == "The token is not valid."


def test_an_access_token_expires_after_fifteen_minutes(alice: User) -> None:
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        token = access(alice)
        clock.shift(timedelta(minutes=14))
        assert call(authorization=f"Bearer {token}").status_code == 200
        clock.shift(timedelta(minutes=1))
        assert refusal(call(authorization=f"Bearer {token}")) == "The token is not valid."


def test_a_token_family_can_create_keys_for_fifteen_minutes_after_sign_in(alice: User) -> None:
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        pair = tokens.issue(alice, timezone.now())
        assert call_with_token(pair.access, "POST", "/api-keys") == 400  # it may, but without a name
        clock.shift(timedelta(minutes=14))
        pair = tokens.rotate(pair.refresh, timezone.now())
        assert call_with_token(pair.access, "POST", "/api-keys") == 400
        clock.shift(timedelta(minutes=1))
        assert call_with_token(pair.access, "POST", "/api-keys") == 403


def test_a_session_can_create_keys_for_fifteen_minutes_after_sign_in(alice: User) -> None:
    client = APIClient()
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        client.force_login(alice)
        clock.shift(timedelta(minutes=14))
        assert client.post("/api-keys", {}, format="json").status_code == 400
        clock.shift(timedelta(minutes=1))
        assert client.post("/api-keys", {}, format="json").status_code == 403


def test_a_refresh_token_is_not_an_access_token(alice: User) -> None:
    assert refusal(call(authorization=f"Bearer {refresh(alice)}")) == "The token is not valid."


def test_a_token_names_its_user_by_the_published_id_only(alice: User) -> None:
    for token in tokens.issue(alice, timezone.now()):
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["sub"] == alice.published_id
        assert set(claims) == {"token_type", "exp", "iat", "jti", "sub", "family"}


def a_new_password(user: User) -> None:
    user.set_password("another password")
    user.save()


def deactivation(user: User) -> None:
    user.is_active = False
    user.save()
    User.objects.filter(pk=user.pk).update(is_active=True)  # ended sign-ins do not come back


def deletion(user: User) -> None:
    user.delete()


def sign_out(user: User) -> None:
    browser = APIClient()
    browser.force_login(user)
    browser.post("/sign-out")


def sign_out_of_a_program(user: User) -> None:
    assert call_with_token(access(user), "POST", "/auth/sign-out") == 204


def call_with_token(token: str, method: str = "GET", path: str = "/orders") -> int:
    return APIClient().generic(method, path, headers={"authorization": f"Bearer {token}"}).status_code


@pytest.mark.parametrize("end", [a_new_password, deactivation, deletion, sign_out, sign_out_of_a_program])
def test_all_tokens_and_sessions_end_with(end: Callable[[User], None], alice: User, bob: User) -> None:
    pair, of_bob = tokens.issue(alice, timezone.now()), access(bob)
    browser = APIClient()
    browser.force_login(alice)
    assert (call_with_token(pair.access), browser.get("/orders").status_code) == (200, 200)
    end(alice)
    assert (call_with_token(pair.access), browser.get("/orders").status_code) == (401, 401)
    with pytest.raises(AuthenticationFailed):
        tokens.rotate(pair.refresh, timezone.now())
    assert call_with_token(of_bob) == 200


def test_a_call_without_a_credential_gets_a_challenge(db: None) -> None:
    assert refusal(call())
    assert refusal(call(authorization="Basic YWxpY2U6c2VjcmV0"))


def test_a_session_can_read(alice: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(alice)
    response: Any = client.get("/orders")
    assert response.status_code == 200
    assert response.wsgi_request.account_id == alice.pk
    assert response["X-Account"] == alice.published_id


def test_a_session_changes_nothing_without_a_csrf_token(alice: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.post("/api-keys", {"name": "k"}, format="json").status_code == 403


def test_a_session_with_a_csrf_token_changes_things(alice: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(alice)
    client.cookies["csrftoken"] = "a" * 32
    response = client.post("/api-keys", {"name": "k"}, format="json", headers={"X-CSRFToken": "a" * 32})
    assert response.status_code == 201
