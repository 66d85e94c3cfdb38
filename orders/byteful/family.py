"""What all routes of Byteful's API share: their two prefixes, errors, credentials and description.

``analytics`` serves the log, summaries and graph; ``orders`` the ledgers and account summaries.
"""

from __future__ import annotations

import re
import uuid
from http import HTTPStatus
from typing import Any, Final

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from accounts.authentication import KeyPairAuthentication
from fonproxy.api.docs import FieldErrorSerializer, problems
from fonproxy.api.families import Family, Problem, in_one_line, listed
from fonproxy.logs import request_id

# Every route exists under both.
PREFIXES: Final = ("", "1.0/public/user/")
# Newer Pythons have newer phrases for these statuses; existing clients compare with the old ones.
PHRASES: Final = {413: "Request Entity Too Large", 422: "Unprocessable Entity"}
TAG: Final = "Byteful"


def error(problem: Problem) -> dict[str, Any]:
    """The family's error. ``errors`` lists bad rows, which is our addition to the published shape."""
    errors = listed(problem.errors)
    return {
        "error": PHRASES.get(problem.status) or HTTPStatus(problem.status).phrase,
        "message": in_one_line(problem),
        "api_request_id": _as_uuid(request_id.get()),
        **({"errors": errors} if any("index" in error for error in errors) else {}),
    }


def _as_uuid(text: str) -> str:
    """The request id if it is a UUID, else a UUID derived from it."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def family(*paths: str) -> Family:
    """The family with these paths, at the root and under the long prefix; the description lists the long ones."""
    return Family("byteful", (*paths, f"/{PREFIXES[1]}"), error, aliases=re.compile("|".join(map(re.escape, paths))))


def routes(module: str) -> list[URLPattern | URLResolver]:
    """The module's URL patterns under both prefixes."""
    return [path(prefix, include(module)) for prefix in PREFIXES]


class BytefulViewSet(ViewSet):
    """Accepts a key pair in addition to the credentials of the other families."""

    authentication_classes = [KeyPairAuthentication, *ViewSet.authentication_classes]


class UnknownRouteView(APIView):
    """Any other path under the long prefix: 401 for bad credentials, otherwise 404."""

    authentication_classes = BytefulViewSet.authentication_classes
    schema = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound


class BytefulErrorSerializer(serializers.Serializer[Any]):
    """An error of Byteful's API."""

    error = serializers.CharField(help_text="The phrase of the status.")
    message = serializers.CharField()
    api_request_id = serializers.UUIDField()
    errors = FieldErrorSerializer(many=True, required=False, help_text="The bad rows, for a body with rows.")  # type: ignore[assignment]  # the base class has a property of that name


def byteful_problems(*statuses: int) -> dict[int, OpenApiResponse]:
    return problems(*statuses, shape=BytefulErrorSerializer)
