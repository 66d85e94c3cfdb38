"""FonProxy Geo: public counts, and raw counts for staff."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final, NamedTuple

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import CanProvision
from fonproxy.api.docs import problems
from fonproxy.api.params import Params
from fonproxy.api.renderers import (
    CSV_TYPE,
    CsvRenderer,
    JsonRenderer,
    attachment,
    byte_order_mark,
    file_name,
    write_csv,
)
from fonproxy.api.throttles import PublicThrottle
from geo import services
from geo.loaders import DEFAULT_SERVICES
from geo.loaders.base import Counts
from geo.serializers import CountriesParams, CountriesSerializer, CountsParams, CountsSerializer
from geo.services import CountsCache

COUNT_COLUMNS: Final = ("type", "pool", "service", "country", "count")
# A changed multiplier shows in the next response, so caches must revalidate.
CACHING: Final = "public, no-cache"
# The ``Accept`` headers of nearly all programs; for others the view negotiates.
TAKES_JSON: Final = ("*/*", "application/json")

MakeBody = Callable[[CountsCache, dict[str, Any], bool], bytes]
"""Makes a body of counts and parameters, as CSV or JSON."""


class _CachedResponse(NamedTuple):
    content: bytes
    etag: str


class GeoViewSet(ViewSet):
    """Public; any web page may call it."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [PublicThrottle]
    csv_columns = COUNT_COLUMNS

    @property
    def csv_name(self) -> str:
        return f"geo-{self.action}"

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """The view, called only if the response is not in memory."""
        view = super().as_view(actions, **initkwargs)
        make = {"counts": _counts, "countries": _countries}[actions["get"]]

        @wraps(view)
        def remembered_or_viewed(request: HttpRequest) -> HttpResponseBase:
            return _remembered(request, make) or view(request)

        return remembered_or_viewed

    @extend_schema(
        tags=["Geo"],
        operation_id="geo_counts",
        parameters=[CountsParams],
        responses={200: CountsSerializer, 304: None, **problems(400, 429, 503)},
        auth=[],
    )
    def counts(self, request: Request) -> HttpResponseBase:
        """Available proxies by type, pool, geo service and country."""
        return self._answer(request, CountsParams, _counts)

    @extend_schema(
        tags=["Geo"],
        operation_id="geo_countries",
        parameters=[CountriesParams],
        responses={200: CountriesSerializer, 304: None, **problems(400, 429, 503)},
        auth=[],
    )
    def countries(self, request: Request) -> HttpResponseBase:
        """The countries in which proxies of a type are available, by its default service."""
        return self._answer(request, CountriesParams, _countries)

    def _answer(self, request: Request, parameters: type[Params], make: MakeBody) -> HttpResponseBase:
        """The response for this query, computed once per revision; 304 if the client has a current copy."""
        query = request.query_params
        is_csv = isinstance(request.accepted_renderer, CsvRenderer)
        counts_cache = services.counts_cache(timezone.now())

        def body() -> _CachedResponse:
            given, mark = parameters.read(query), byte_order_mark(query).encode()
            return counts_cache.get_or_make(
                (make, *given.values(), is_csv, mark), lambda: _with_etag(mark + make(counts_cache, given, is_csv))
            )

        # Cached by the query string too, which saves parsing it.
        found = counts_cache.get_or_make((make, request.META["QUERY_STRING"], is_csv), body)
        response = _response(request._request, found, CSV_TYPE if is_csv else JsonRenderer.media_type)
        if is_csv:
            response.headers["Content-Disposition"] = attachment(file_name(self.csv_name, query))
        return response


class RawCountsViewSet(ViewSet):
    """Raw counts before multipliers, for provisioning."""

    permission_classes = [CanProvision]
    required_permissions = {"raw": ("geo.view_countsnapshot",)}
    csv_columns = COUNT_COLUMNS
    csv_name = "geo-counts"

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_geo_counts",
        responses={200: CountsSerializer, **problems(400, 401, 403, 429, 503)},
    )
    def raw(self, request: Request) -> Response:
        """Raw counts of available proxies."""
        return Response({"counts": services.raw_counts(timezone.now())})

    @staticmethod
    def csv_rows(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        return _flat(data["counts"])


def _remembered(request: HttpRequest, make: MakeBody) -> HttpResponseBase | None:
    """The JSON last returned for this query string, without the cost of a view; None if the view must answer.

    The view answers new queries, refused ones and requests for another format. The response depends on nothing but the
    query string, because only JSON responses are cached.
    """
    if request.method not in ("GET", "HEAD") or request.META.get("HTTP_ACCEPT", "*/*") not in TAKES_JSON:
        return None
    try:
        found = services.counts_cache(timezone.now()).get((make, request.META["QUERY_STRING"], False))
        if not isinstance(found, _CachedResponse):
            return None
        # The throttle reads headers only and does not count a refused call, so the view may check it again.
        if not PublicThrottle().allow_request(request, None):  # type: ignore[arg-type]
            return None
    except (DatabaseError, RedisError):
        return None  # the view renders the refusal in the family's shape
    response = _response(request, found, JsonRenderer.media_type)
    response.headers["Allow"] = "GET, HEAD, OPTIONS"
    return response


def _response(request: HttpRequest, found: _CachedResponse, content_type: str) -> HttpResponseBase:
    # Returns a response only if the client's copy is current.
    response = get_conditional_response(request, etag=found.etag) or HttpResponse(
        found.content, content_type=content_type
    )
    response.headers["ETag"] = found.etag
    response.headers["Cache-Control"] = CACHING
    response.headers["Vary"] = "Accept"
    return response


def _with_etag(content: bytes) -> _CachedResponse:
    return _CachedResponse(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _counts(counts_cache: CountsCache, given: dict[str, Any], is_csv: bool) -> bytes:
    counts = counts_cache.public_of(given["type"], given["pool"])
    if is_csv:
        rows = (row for row in _flat(counts) if not given["noservice"] or row["service"] == _default(row["type"]))
        return write_csv(COUNT_COLUMNS, rows).encode()
    shown = services.default_service_only(counts) if given["noservice"] else counts
    return JsonRenderer().render({"counts": shown})


def _countries(counts_cache: CountsCache, given: dict[str, Any], is_csv: bool) -> bytes:
    counts = services.default_service_only(counts_cache.public_of(given["type"], given["pool"]))
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
