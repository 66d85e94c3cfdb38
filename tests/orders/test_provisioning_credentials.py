"""A billing system gives a new customer a key and a way to set the password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import ApiKey, AuditRecord, User

NEW = "a long enough Passphrase 77"


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient]) -> APIClient:
    return client_for(staff, "provision")


@pytest.fixture
def carol(db: None) -> User:
    user = User(username="carol", email="carol@example.com", external_id="c")
    user.set_unusable_password()
    user.save()
    return user


def test_a_key_for_a_customer_acts_as_that_customer(
    shop: APIClient, carol: User, sent: Callable[[], list[Any]]
) -> None:
    sent()  # about the billing system's own key
    body = {"name": "for carol", "scopes": ["read", "write"]}
    answer = shop.post("/provisioning/users/c/api-keys", body, format="json")
    key = answer.json()["apiKey"]
    assert (answer.status_code, key["scopes"], answer.headers["Cache-Control"]) == (201, ["read", "write"], "no-store")
    assert APIClient().get("/api/v1/me", HTTP_X_API_KEY=key["key"]).json()["data"]["username"] == "carol"
    assert [mail.to for mail in sent()] == [["carol@example.com"]]
    assert list(AuditRecord.objects.values_list("action", "number")) == [("api key issued", carol.pk)]


@pytest.mark.parametrize("scope", ["ingest", "gateway", "provision", "metrics", "x", 1])
def test_a_customers_key_cannot_have_the_scopes_of_staff(scope: Any, shop: APIClient, carol: User) -> None:
    refused = shop.post("/provisioning/users/c/api-keys", {"name": "n", "scopes": ["read", scope]}, format="json")
    assert refused.status_code == 400
    assert not ApiKey.objects.filter(user=carol).exists()


def test_the_link_sets_the_password_once(shop: APIClient, carol: User) -> None:
    answer = shop.post("/provisioning/users/c/password-link")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    link = answer.json()["passwordLink"]
    assert link["expiresAt"].endswith("Z")
    page = urlsplit(link["url"]).path
    browser = Client()
    form = browser.get(page, follow=True).redirect_chain[-1][0]
    done = browser.post(form, {"new_password1": NEW, "new_password2": NEW})
    assert done.status_code == 302
    carol.refresh_from_db()
    assert carol.check_password(NEW)
    assert not Client().get(page, follow=True).redirect_chain
    assert list(AuditRecord.objects.values_list("action", "number")) == [("password link", carol.pk)]


def test_no_credential_is_issued_for_staff_strangers_and_closed_accounts(
    shop: APIClient, carol: User, viewer: User
) -> None:
    User.objects.filter(pk=viewer.pk).update(external_id="v")
    for name, code in (("v", 409), ("nobody", 404)):
        assert shop.post(f"/provisioning/users/{name}/password-link").status_code == code
        assert shop.post(f"/provisioning/users/{name}/api-keys", {"name": "n"}, format="json").status_code == code
    User.objects.filter(pk=carol.pk).update(is_active=False)
    assert shop.post("/provisioning/users/c/password-link").status_code == 409
    assert not AuditRecord.objects.exists()
