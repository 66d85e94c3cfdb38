from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts import services
from accounts.models import ApiKey, User
from fonproxy import ids
from tests.accounts.helpers import client_with

MakeKey = Callable[..., str]
ClientFor = Callable[..., APIClient]


def create(client: APIClient, body: Any, **headers: str) -> Any:
    return client.post("/api-keys", json.dumps(body), content_type="application/json", headers=headers)


def fields_at_fault(response: Any) -> set[str]:
    assert response.status_code == 400
    return {error["field"].partition(".")[0] for error in response.json()["errors"]}


def test_a_new_key_is_shown_once_with_its_secret(alice: User, client_for: ClientFor) -> None:
    response = create(client_for(alice), {"name": " crawler "})
    key = ApiKey.objects.get()
    told = response.json()["apiKey"]
    assert response.status_code == 201
    assert response.json()["message"] == "api_key.created"
    assert services.KEY_SHAPE.fullmatch(told.pop("key"))
    assert told == {
        "id": key.published_id,
        "name": "crawler",
        "prefix": key.prefix,
        "scopes": ["read"],
        "isActive": True,
        "lastAccessAt": None,
        "expiresAt": None,
        "createdAt": key.created_at.isoformat().replace("+00:00", "Z"),
    }


def test_a_new_key_works_at_once(alice: User, client_for: ClientFor) -> None:
    secret = create(client_for(alice), {"name": "k"}).json()["apiKey"]["key"]
    assert client_with(secret).get("/orders").status_code == 200


def test_a_key_can_have_an_expiry(alice: User, client_for: ClientFor) -> None:
    response = create(client_for(alice), {"name": "k", "expiresAt": "2099-12-31T10:00:00+02:00"})
    assert response.json()["apiKey"]["expiresAt"] == "2099-12-31T08:00:00Z"


def test_a_key_that_expires_on_a_date_lasts_that_whole_day(alice: User, client_for: ClientFor) -> None:
    response = create(client_for(alice), {"name": "k", "expiresAt": "2099-12-30"})
    assert response.json()["apiKey"]["expiresAt"] == "2099-12-31T00:00:00Z"


def test_a_null_expiry_means_no_expiry(alice: User, client_for: ClientFor) -> None:
    assert create(client_for(alice), {"name": "k", "expiresAt": None}).json()["apiKey"]["expiresAt"] is None


def test_a_customer_grants_read_and_write(alice: User, client_for: ClientFor) -> None:
    response = create(client_for(alice), {"name": "k", "scopes": ["write", "read"]})
    assert response.json()["apiKey"]["scopes"] == ["read", "write"]


@pytest.mark.parametrize("scope", ["ingest", "gateway", "provision", "metrics"])
def test_staff_without_the_permission_to_add_keys_cannot_grant_scopes_of_staff(
    helper: User, client_for: ClientFor, scope: str
) -> None:
    assert create(client_for(helper), {"name": "k", "scopes": [scope]}).status_code == 403
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    "scopes", [["ingest"], ["read", "ingest"], ["gateway"], ["provision"], ["read", "write", "metrics"]]
)
def test_a_customer_cannot_grant_scopes_of_staff(alice: User, client_for: ClientFor, scopes: list[str]) -> None:
    assert create(client_for(alice), {"name": "k", "scopes": scopes}).status_code == 403
    assert not ApiKey.objects.exists()


def test_staff_can_grant_ingest(staff: User, client_for: ClientFor) -> None:
    response = create(client_for(staff), {"name": "k", "scopes": ["ingest", "read", "read"]})
    assert response.json()["apiKey"]["scopes"] == ["read", "ingest"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"), ({"name": "  "}, "name"), ({"name": "x" * 101}, "name"), ({"name": 5}, "name"),
        ({"name": None}, "name"), ({"name": True}, "name"), ({"name": "\0"}, "name"), ({"name": "\ud800"}, "name"),
        ({"scopes": "read"}, "scopes"), ({"scopes": []}, "scopes"), ({"scopes": ["admin"]}, "scopes"),
        ({"scopes": None}, "scopes"), ({"scopes": [5]}, "scopes"), ({"scopes": [["read"]]}, "scopes"),
        ({"scopes": ["\ud800"]}, "scopes"), ({"scopes": {"read": True}}, "scopes"),
        ({"expiresAt": "2020-01-01"}, "expiresAt"), ({"expiresAt": "soon"}, "expiresAt"),
        ({"expiresAt": 5}, "expiresAt"), ({"expiresAt": ""}, "expiresAt"), ({"expiresAt": ["2099-01-01"]}, "expiresAt"),
        ({"expiresAt": "9999-12-31"}, "expiresAt"), ({"expiresAt": "\ud800"}, "expiresAt"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(alice: User, client_for: ClientFor, change: dict[str, Any], field: str) -> None:
    assert fields_at_fault(create(client_for(alice), {"name": "k", **change})) == {field}


@pytest.mark.parametrize("body", [None, [], [{"name": "k"}], "text", 5])
def test_a_body_that_is_not_an_object_is_a_400(alice: User, client_for: ClientFor, body: Any) -> None:
    assert create(client_for(alice), body).status_code == 400


def test_a_key_beyond_the_limit_is_a_conflict(
    alice: User, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MAX_ACTIVE_KEYS", 1)
    assert create(client_for(alice), {"name": "k"}).status_code == 201
    assert create(client_for(alice), {"name": "k"}).status_code == 409


def test_a_key_cannot_manage_keys(alice: User, client_for: ClientFor) -> None:
    client = client_for(alice, "read")
    id_ = ApiKey.objects.get().published_id
    assert client.get("/api-keys").status_code == 403
    assert create(client, {"name": "k"}).status_code == 403
    assert client.delete(f"/api-keys/{id_}").status_code == 403


def test_keys_are_listed_newest_first_without_secrets(alice: User, make_key: MakeKey, client_for: ClientFor) -> None:
    secrets = [make_key(alice, name=name) for name in ("old", "new")]
    response = client_for(alice).get("/api-keys")
    assert [key["name"] for key in response.json()["apiKeys"]] == ["new", "old"]
    assert not any("key" in key for key in response.json()["apiKeys"])
    assert not any(secret[8:] in response.content.decode() for secret in secrets)


def test_revoked_and_expired_keys_stay_listed(alice: User, make_key: MakeKey, client_for: ClientFor) -> None:
    make_key(alice, name="expired", expires_at=timezone.now() - timedelta(seconds=1))
    make_key(alice, name="revoked")
    services.revoke_key(ApiKey.objects.latest("pk"), timezone.now())
    assert [key["isActive"] for key in client_for(alice).get("/api-keys").json()["apiKeys"]] == [False, False]


def test_foreign_keys_are_not_listed(alice: User, bob: User, make_key: MakeKey, client_for: ClientFor) -> None:
    make_key(bob)
    assert client_for(alice).get("/api-keys").json() == {"apiKeys": []}


def test_a_list_is_one_query_however_long(
    alice: User, make_key: MakeKey, client_for: ClientFor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        make_key(alice)
    client = client_for(alice)
    with django_assert_num_queries(2):  # the caller, then the keys
        client.get("/api-keys")


def test_a_revoked_key_is_refused_from_then_on(alice: User, make_key: MakeKey, client_for: ClientFor) -> None:
    secret = make_key(alice)
    path = f"/api-keys/{ApiKey.objects.get().published_id}"
    assert [client_for(alice).delete(path).status_code for _ in range(2)] == [204, 204]
    assert client_with(secret).get("/orders").status_code == 401


@pytest.mark.parametrize(
    "id_", ["1", "nonsense", "%00", "%C3%B6", "a.b", ids.encode("key", 2**63 - 1), ids.encode("order", 1)]
)
def test_an_unknown_key_is_not_found(alice: User, client_for: ClientFor, id_: str) -> None:
    assert client_for(alice).delete(f"/api-keys/{id_}").status_code == 404


def test_a_key_of_another_user_is_not_found_and_stays_active(
    alice: User, bob: User, make_key: MakeKey, client_for: ClientFor
) -> None:
    secret = make_key(bob)
    assert client_for(alice).delete(f"/api-keys/{ApiKey.objects.get().published_id}").status_code == 404
    assert client_with(secret).get("/orders").status_code == 200


def test_the_list_comes_as_csv(alice: User, make_key: MakeKey, client_for: ClientFor) -> None:
    make_key(alice, name="=1+1")
    response = client_for(alice).get("/api-keys", {"format": "csv"})
    header, row = response.content.decode("utf-8-sig").splitlines()
    assert header == "id,name,prefix,scopes,isActive,lastAccessAt,expiresAt,createdAt"
    assert row.split(",")[1] == "'=1+1"


def test_only_the_list_is_csv(alice: User, client_for: ClientFor) -> None:
    created = create(client_for(alice), {"name": "k"}, accept="text/csv")
    assert created.status_code == 201
    assert created["Content-Type"] == "application/json"
    path = f"/api-keys/{created.json()['apiKey']['id']}"
    assert client_for(alice).delete(path, headers={"accept": "text/csv"}).status_code == 204


def test_keys_have_no_other_operations(alice: User, client_for: ClientFor) -> None:
    assert client_for(alice).put("/api-keys", headers={"accept": "text/csv"}).status_code == 405
    assert client_for(alice).get("/api-keys/").status_code == 404
