"""The OpenAPI description: its routes, and the error responses of FonProxy's own APIs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any, Final

from django.conf import settings
from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fonproxy.api.families import is_alias
from fonproxy.api.throttles import PublicThrottle


def without_aliases(endpoints: list[Any], **_: Any) -> list[Any]:
    """Preprocessing hook of drf-spectacular: leaves out routes that repeat others."""
    return [endpoint for endpoint in endpoints if not is_alias(endpoint[0])]


def summarised(result: Any, **_: Any) -> Any:
    """Postprocessing hook of drf-spectacular: an operation without a summary gets its description's first paragraph."""
    for methods in result["paths"].values():
        for operation in methods.values():
            if isinstance(operation, dict) and "summary" not in operation:
                first, _blank, rest = operation.pop("description", "").partition("\n\n")
                operation["summary"] = first.replace("\n", " ").removesuffix(".")
                if rest:
                    operation["description"] = rest
    return result


def description() -> Any:
    """Cached, because it depends only on the code, and generating it takes a third of a second of CPU time.

    One thread generates it: drf-spectacular loads its extensions meanwhile, and fails in the others.
    """
    with _generating:
        return _generated()


_generating: Final = Lock()


@cache
def _generated() -> Any:
    with translation.override(settings.LANGUAGE_CODE):
        return SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # not typed


class DescriptionRenderer(OpenApiJsonRenderer):
    """Renders the description once: it is nearly a megabyte, and public."""

    media_type = "application/json"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> Any:
        if data is not description():  # an error
            return super().render(data, accepted_media_type, renderer_context)
        return _written_description()


class VendorRenderer(DescriptionRenderer):
    media_type = OpenApiJsonRenderer.media_type


@cache
def _written_description() -> Any:
    return OpenApiJsonRenderer().render(description(), renderer_context={})


class SchemaView(APIView):
    """``GET /openapi.json``, public.

    Without the parameters of drf-spectacular's own view: Django would keep a catalogue forever for every requested
    ``lang``, and ``version`` would end up in a header.
    """

    renderer_classes = [VendorRenderer, DescriptionRenderer]
    authentication_classes = []
    permission_classes = []
    throttle_classes = [PublicThrottle]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        headers = {"Content-Disposition": f'inline; filename="{settings.SPECTACULAR_SETTINGS["TITLE"]}.json"'}
        return Response(description(), headers=headers)


class ReferenceView(SpectacularSwaggerSplitView):
    """``GET /docs``, public: Swagger UI from our own static files."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [PublicThrottle]
    url_name = "schema"


class FieldErrorSerializer(serializers.Serializer[Any]):
    field = serializers.CharField()
    index = serializers.IntegerField(required=False, help_text="The row's position, where the body is a list of rows.")
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """An error of FonProxy's own APIs."""

    message = serializers.CharField(help_text="A stable code.")
    detail = serializers.CharField(help_text="A sentence for people.")
    path = serializers.CharField()
    timestamp = serializers.DateTimeField()
    errors = FieldErrorSerializer(many=True)  # type: ignore[assignment]  # the base class has a property of that name


_MEANINGS: Final = {
    400: "A parameter or the body is malformed.",
    401: "The credential is missing, unknown, expired or revoked.",
    403: "The credential lacks the permission or scope.",
    404: "Not found, or owned by another account.",
    409: "Conflicts with the current state.",
    413: "The body is too large.",
    415: "The body's encoding or media type is not supported.",
    422: "A value out of range, an unknown sort, or an operator that the field does not support.",
    429: "Too many requests; see Retry-After.",
    503: "A store is unavailable; see Retry-After.",
}


def shape(name: str, /, **fields: serializers.Field[Any, Any, Any, Any]) -> type[serializers.Serializer[Any]]:
    """A serializer class with these fields, for the description of a body or a response."""
    made: type[serializers.Serializer[Any]] = type(name, (serializers.Serializer,), fields)
    return extend_schema_serializer(many=False)(made)  # otherwise a `list` action would return a list of these


def problems(*statuses: int, shape: type[serializers.Serializer[Any]] = ErrorSerializer) -> dict[int, OpenApiResponse]:
    """The error responses of a route; ``shape`` is the serializer of its family's errors."""
    return {status: OpenApiResponse(shape, description=_MEANINGS[status]) for status in statuses}
