"""The routes under ``/gateway/`` that count running connections."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from analytics.gateway import gost, openapi, radius, samples, sessions
from fonproxy.api.body import read_body
from fonproxy.api.docs import problems
from fonproxy.api.params import Params
from orders.gateway.radius import Attributes
from orders.gateway.views import GatewayViewSet


class ObserveParams(Params):
    worker = serializers.CharField(
        required=False, default="gost", max_length=255, help_text="The proxy server's name, unique for each server."
    )


class SessionViewSet(GatewayViewSet):
    @extend_schema(
        tags=["Gateways"],
        operation_id="gateway_sessions",
        summary="Count running connections",
        request=openapi.Samples,
        parameters=[OpenApiParameter("Content-Encoding", str, "header", enum=["gzip"])],
        responses={204: None, **problems(400, 401, 403, 413, 415, 503)},
    )
    def sessions(self, request: Request) -> Response:
        """Counters since the start of each connection: 204 means that their increase is counted exactly once.

        Samples may be repeated, reordered or left out. All or nothing: if one sample is bad, nothing is stored.
        """
        now = timezone.now()
        found = samples.decode(read_body(request._request, samples.MAX_BYTES), now)
        sessions.record(found, caller(request).pk, now)
        return Response(status=204)

    @extend_schema(
        tags=["Gateways"],
        operation_id="gateway_radius_accounting",
        summary="Count running connections, for FreeRADIUS",
        request=OpenApiTypes.OBJECT,
        responses={204: None, **problems(400, 401, 403, 413, 415, 503)},
    )
    def radius(self, request: Request) -> Response:
        """`rlm_rest` in the section `accounting` with `body = 'json'`: Start, Interim-Update, Stop, On and Off."""
        now = timezone.now()
        given = Attributes(request.data)
        if radius.is_of_whole_server(given):
            sessions.end_all(radius.worker_of(given), now)
            return Response(status=204)
        sessions.record([radius.sample_of(given, now)], caller(request).pk, now)
        return Response(status=204)

    @extend_schema(
        tags=["Gateways"],
        operation_id="gateway_gost_observe",
        summary="Count running connections, for gost",
        request=OpenApiTypes.OBJECT,
        parameters=[ObserveParams],
        responses={200: openapi.Ok, **problems(400, 401, 403, 413, 415, 503)},
    )
    def gost(self, request: Request) -> Response:
        """gost's observer plugin of type `http`, without `observer.resetTraffic`. Unknown clients are left out."""
        now = timezone.now()
        worker: Any = ObserveParams.read(request.query_params)["worker"]
        found = gost.samples_of(read_body(request._request, samples.MAX_BYTES), worker)
        sessions.record(found, caller(request).pk, now, skip_unknown=True)
        return Response({"ok": True})
