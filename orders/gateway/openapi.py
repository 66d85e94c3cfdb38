"""The credential of gateways in the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class BasicKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook is not annotated
    target_class = "orders.gateway.authentication.BasicKeyAuthentication"
    name = "basicKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "basic", "description": "Any user name; an API key as the password."}
