from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from accounts.urls import urlpatterns
from orders.urls import router


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    generator: Any = SchemaGenerator  # the library has no annotations
    document: dict[str, Any] = generator(patterns=[*urlpatterns, *router.urls]).get_schema(request=None, public=True)
    return document


def test_the_description_is_valid(schema: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    validate: Any = validate_schema
    validate(schema)
    assert capsys.readouterr().err == ""


def test_every_route_is_described(schema: dict[str, Any]) -> None:
    assert set(schema["paths"]) == {
        "/auth/token",
        "/auth/token/refresh",
        "/auth/sign-out",
        "/api-keys",
        "/api-keys/{id}",
        "/applications",
        "/applications/{id}/rotate-keys",
        "/orders",
        "/proxy-users",
        "/proxy-users/{id}",
    }


def test_the_three_credentials_are_described(schema: dict[str, Any]) -> None:
    schemes = schema["components"]["securitySchemes"]
    assert schemes["apiKey"]["name"] == "x-api-key"
    assert schemes["jwt"]["scheme"] == "bearer"
    assert schemes["session"]["in"] == "cookie"


def test_reads_accept_any_credential_and_signing_in_none(schema: dict[str, Any]) -> None:
    assert schema["paths"]["/orders"]["get"]["security"] == [{"apiKey": []}, {"jwt": []}, {"session": []}]
    assert "security" not in schema["paths"]["/auth/token"]["post"]


def test_errors_are_described(schema: dict[str, Any]) -> None:
    assert {"400", "401", "403", "409", "413", "429"} < set(schema["paths"]["/api-keys"]["post"]["responses"])
