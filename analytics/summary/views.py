"""The daily summaries of the tracking API."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.viewsets import TrackingViewSet
from analytics.summary import reads
from analytics.summary.queries import FIELDS
from fonproxy.api import search
from fonproxy.api.docs import shape, tracking_problems
from fonproxy.api.search import NUMBER

KINDS: Final = {name: kind for name, (kind, _) in FIELDS.items()}


def _field(name: str, kind: search.Kind) -> serializers.Field[Any, Any, Any, Any]:
    if kind is NUMBER or name == "customer_id":
        return serializers.IntegerField()
    return serializers.CharField(allow_null=name == "proxy_user_id")


SUMMARY: Final = shape("LogSummary", **{name: _field(name, kind) for name, kind in KINDS.items()})


class SummaryViewSet(TrackingViewSet):
    csv_columns = tuple(FIELDS)
    csv_name = "log_summary"

    @extend_schema(
        tags=["Tracking"],
        operation_id="log_summary_search",
        parameters=search.parameters(KINDS),
        responses={
            200: search.page_schema("LogSummaryPage", SUMMARY),
            **tracking_problems(400, 401, 403, 404, 422, 429, 503),
        },
    )
    def list(self, request: Request) -> Response:
        """The daily summaries that meet all conditions: by host name for 90 days, without it for ever."""
        wanted = search.parse(request.query_params, KINDS)
        found, total = reads.search(caller(request).pk, wanted, timezone.now())
        return Response(search.page_of(found, total, wanted, "Log Summary search successful."))

    @extend_schema(
        tags=["Tracking"],
        operation_id="log_summary_retrieve",
        parameters=[OpenApiParameter("id", location="path")],
        responses={
            200: search.answer_schema("LogSummaryAnswer", SUMMARY),
            **tracking_problems(400, 401, 403, 404, 429, 503),
        },
    )
    def retrieve(self, request: Request, id: str) -> Response:
        """One daily summary."""
        found = reads.find(caller(request).pk, id, timezone.now())
        return Response({"data": found, "message": "Log Summary successfully retrieved."})
