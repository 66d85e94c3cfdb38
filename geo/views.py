"""The public counts, and the raw ones for staff's systems."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import IsStaff
from fonproxy.api.docs import problems
from fonproxy.api.params import Params
from fonproxy.api.renderers import CsvRenderer, JsonRenderer, write_csv
from fonproxy.api.throttles import PublicThrottle
from geo import services
from geo.loaders import DEFAULT_SERVICES
from geo.loaders.base import Counts
from geo.serializers import CountriesParams, CountriesSerializer, CountsParams, CountsSerializer

COUNT_COLUMNS: Final = ("type", "pool", "service", "country", "count")
# A change of a multiplier shows in the next response: so whoever keeps one has to ask whether it still holds.
CACHING: Final = "public, no-cache"


class _Body(NamedTuple):
    content: bytes
    etag: str


class GeoViewSet(ViewSet):
    """For anyone; any web page may call it."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [PublicThrottle]
    csv_columns = COUNT_COLUMNS
    csv_name = "geo"

    @extend_schema(
        tags=["Geo"],
        operation_id="geo_counts",
        parameters=[CountsParams],
        responses={200: CountsSerializer, 304: None, **problems(400, 429, 503)},
        auth=[],
    )
    def counts(self, request: Request) -> HttpResponseBase:
        """How many proxies are available, by type, pool, geo service and country."""
        return _answer(request, CountsParams, _counts)

    @extend_schema(
        tags=["Geo"],
        operation_id="geo_countries",
        parameters=[CountriesParams],
        responses={200: CountriesSerializer, 304: None, **problems(400, 429, 503)},
        auth=[],
    )
    def countries(self, request: Request) -> HttpResponseBase:
        """The countries in which proxies of a type are available, by its default service."""
        return _answer(request, CountriesParams, _countries)


class RawCountsViewSet(ViewSet):
    """What there is before any multiplier, for order provisioning."""

    permission_classes = [IsStaff]
    csv_columns = COUNT_COLUMNS
    csv_name = "geo-counts"

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_geo_counts",
        responses={200: CountsSerializer, **problems(400, 401, 403, 429, 503)},
    )
    def raw(self, request: Request) -> Response | HttpResponse:
        """How many proxies there really are."""
        counts = services.raw_counts()
        if _wants_csv(request):
            return HttpResponse(write_csv(COUNT_COLUMNS, _flat(counts)), content_type="text/csv; charset=utf-8")
        return Response({"counts": counts})


def _answer(
    request: Request, parameters: type[Params], make: Callable[[dict[str, Any], bool], bytes]
) -> HttpResponseBase:
    """The body for this question, made once per change of the counts; 304 to whoever has it already."""
    is_csv = _wants_csv(request)
    picture = services.picture()

    def body() -> _Body:
        given = parameters.read(request.query_params)
        return picture.once((make, *given.values(), is_csv), lambda: _with_etag(make(given, is_csv)))

    # The same text asks the same: then even the reading of parameters is done already.
    found = picture.once((make, request.META["QUERY_STRING"], is_csv), body)
    # Without a response to compare, it makes one only when nothing has changed.
    response = get_conditional_response(request._request, etag=found.etag) or HttpResponse(
        found.content, content_type=_content_type(is_csv)
    )
    response.headers["ETag"] = found.etag
    response.headers["Cache-Control"] = CACHING
    response.headers["Vary"] = "Accept"
    return response


def _with_etag(content: bytes) -> _Body:
    return _Body(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _wants_csv(request: Request) -> bool:
    return isinstance(request.accepted_renderer, CsvRenderer)


def _content_type(is_csv: bool) -> str:
    return "text/csv; charset=utf-8" if is_csv else JsonRenderer.media_type


def _counts(given: dict[str, Any], is_csv: bool) -> bytes:
    counts = services.public_counts(given["type"], given["pool"])
    if is_csv:
        rows = (row for row in _flat(counts) if not given["noservice"] or row["service"] == _default(row["type"]))
        return write_csv(COUNT_COLUMNS, rows).encode()
    shown = services.default_service_only(counts) if given["noservice"] else counts
    return JsonRenderer().render({"counts": shown})


def _countries(given: dict[str, Any], is_csv: bool) -> bytes:
    counts = services.default_service_only(services.public_counts(given["type"], given["pool"]))
    found = counts.get(given["type"], {}).get(given["pool"], {})
    countries = sorted(country for country, count in found.items() if count > 0)
    if is_csv:
        return write_csv(("country",), ({"country": country} for country in countries)).encode()
    return JsonRenderer().render({"countries": countries})


def _default(proxy_type: str) -> str:
    return DEFAULT_SERVICES[proxy_type]


def _flat(counts: dict[str, Counts]) -> Iterator[dict[str, Any]]:
    for proxy_type, pools in counts.items():
        for pool, by_service in pools.items():
            for service, countries in by_service.items():
                for country, count in countries.items():
                    values = (proxy_type, pool, service, country, count)
                    yield dict(zip(COUNT_COLUMNS, values, strict=True))
