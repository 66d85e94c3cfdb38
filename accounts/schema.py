"""The credentials in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook is not annotated
    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "An API key, `fnp_` and 64 hexadecimal digits; `Authorization: Bearer fnp_…` works too.",
        }


class KeyPairScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook is not annotated
    target_class = "accounts.authentication.KeyPairAuthentication"
    name = ["publicKey", "privateKey"]  # both at once

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        meanings = {"Public": "An API key's prefix, `fnp_` and its first digits.", "Private": "The API key itself."}
        return [
            {"type": "apiKey", "in": "header", "name": f"X-API-{half}-Key", "description": meaning}
            for half, meaning in meanings.items()
        ]


class ApplicationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook is not annotated
    target_class = "accounts.authentication.ApplicationAuthentication"
    name = ["applicationId", "applicationKey"]  # both at once

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        meanings = {
            "User": "An application's id.",
            "Key": "The write key to send events, the read key to query them.",
        }
        return [
            {"type": "apiKey", "in": "header", "name": f"X-Auth-{half}", "description": meaning}
            for half, meaning in meanings.items()
        ]


class JwtScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook is not annotated
    target_class = "accounts.authentication.JwtAuthentication"
    name = "jwt"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From `POST /auth/token`."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook is not annotated
    target_class = "accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The dashboard's cookie; anything but a read needs `X-CSRFToken` as well.",
        }
