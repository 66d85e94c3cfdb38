"""The OpenAPI description: its route, and what every FonProxy route shares in it."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiResponse, extend_schema_serializer
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers

from fonproxy.api.families import BYTEFUL_PREFIXES
from fonproxy.api.throttles import PublicThrottle


def without_second_places(endpoints: list[Any], **_: Any) -> list[Any]:
    """Leaves out the routes that hang at a second place, where they are the same again."""
    second = (f"/{BYTEFUL_PREFIXES[1]}", "/1/events")
    return [
        endpoint
        for endpoint in endpoints
        if not endpoint[0].startswith(second) and (endpoint[0].endswith("/") or not endpoint[0].startswith("/1/"))
    ]


class SchemaView(SpectacularJSONAPIView):
    """``GET /openapi.json``, for anyone."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [PublicThrottle]


class ReferenceView(SpectacularSwaggerSplitView):
    """``GET /docs``, for anyone: the description as a page, from our own static files."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [PublicThrottle]
    url_name = "schema"


class FieldErrorSerializer(serializers.Serializer[Any]):
    field = serializers.CharField()
    index = serializers.IntegerField(required=False, help_text="The row's position, where the body is a list of rows.")
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """How FonProxy routes say that something is wrong."""

    message = serializers.CharField(help_text="A stable key.")
    detail = serializers.CharField(help_text="One sentence.")
    path = serializers.CharField()
    timestamp = serializers.DateTimeField()
    errors = FieldErrorSerializer(many=True)  # type: ignore[assignment]  # the base class has a property of that name


_MEANINGS: Final = {
    400: "A parameter or the body is not as documented.",
    401: "The credential is missing, unknown, expired or revoked.",
    403: "The credential may not do that.",
    404: "There is no such thing, or it belongs to somebody else.",
    409: "It contradicts what is already there.",
    413: "The body is too large.",
    415: "The body's encoding or type is not supported.",
    422: "A value beyond what is allowed, an unknown sort, or an operator that the field does not have.",
    429: "Too often; see Retry-After.",
    503: "A store is away; see Retry-After.",
}


class TrackingErrorSerializer(serializers.Serializer[Any]):
    """How the tracking API says that something is wrong."""

    error = serializers.CharField(help_text="The status in words.")
    message = serializers.CharField()
    api_request_id = serializers.UUIDField()
    errors = FieldErrorSerializer(many=True, required=False, help_text="The rows at fault, where a body has rows.")  # type: ignore[assignment]  # as above


def shape(name: str, /, **fields: serializers.Field[Any, Any, Any, Any]) -> type[serializers.Serializer[Any]]:
    """A serializer made on the spot, for describing what a route takes or answers."""
    made: type[serializers.Serializer[Any]] = type(name, (serializers.Serializer,), fields)
    return extend_schema_serializer(many=False)(made)  # what `list` answers would be described as a list of these


def problems(*statuses: int, shape: type[serializers.Serializer[Any]] = ErrorSerializer) -> dict[int, OpenApiResponse]:
    """The error responses of a route, by default in the shape of FonProxy's own routes."""
    return {status: OpenApiResponse(shape, description=_MEANINGS[status]) for status in statuses}


def tracking_problems(*statuses: int) -> dict[int, OpenApiResponse]:
    """The same in the shape of the tracking API."""
    return problems(*statuses, shape=TrackingErrorSerializer)
