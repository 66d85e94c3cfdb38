"""Errors that Django raises outside Django REST framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User


def test_a_missing_csrf_token_is_reported_in_the_familys_shape(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/healthz")
    assert (answer.status_code, answer.json()["message"]) == (403, "auth.forbidden")


def test_people_in_the_admin_get_a_page(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/")
    assert (answer.status_code, answer["Content-Type"]) == (403, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("path", "key"),
    [("/nope", "message"), ("/api/v1/nope", "success"), ("/1/nope", "error"), ("/log/nope", "api_request_id")],
)
def test_an_unknown_route_is_answered_in_the_familys_shape(path: str, key: str, db: None) -> None:
    answer = Client().get(path)
    assert (answer.status_code, key in answer.json()) == (404, True)


def test_a_list_that_is_too_long_is_one_error(alice: User, client_for: Callable[..., APIClient]) -> None:
    answer = client_for(alice).post("/api-keys", {"name": "k", "scopes": [0] * 30_000}, format="json")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["scopes"]
    assert len(answer.content) < 1000


def test_an_answer_has_the_first_hundred_errors(client_for: Callable[..., APIClient]) -> None:
    root: Any = client_for(User.objects.create_superuser("root"), "provision")
    answer = root.put("/provisioning/orders/o-1", {"proxyUsers": [0] * 10_000}, format="json")
    errors = answer.json()["errors"]
    assert (answer.status_code, len(errors)) == (400, 100)
    assert {error["field"].partition(".")[0] for error in errors} >= {"user", "name", "proxyUsers"}
