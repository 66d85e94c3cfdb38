"""Errors that Django raises outside Django REST framework."""

from __future__ import annotations

import pytest
from django.test import Client


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
