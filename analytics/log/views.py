"""The log of single requests: pushed by proxy workers, searched by customers."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller
from accounts.permissions import CanIngest
from accounts.viewsets import TrackingViewSet
from analytics import intake
from analytics.log import reads, rows
from analytics.log.queries import FIELDS
from analytics.log.row import LOG
from analytics.models import Batch
from fonproxy.api import search
from fonproxy.api.docs import shape, tracking_problems
from fonproxy.api.search import NUMBER

KINDS: Final = {name: kind for name, (kind, _) in FIELDS.items()}


def _field(name: str, kind: search.Kind) -> serializers.Field[Any, Any, Any, Any]:
    if name == "log_authentication_type":
        return serializers.JSONField(allow_null=True, help_text="A number or a text, as it was reported.")
    is_number = kind is NUMBER or name == "customer_id"
    make = serializers.IntegerField if is_number else serializers.CharField
    return make(allow_null=name in reads.NULLABLE or name == "proxy_user_id")


LOG_ROW: Final = shape("Log", **{name: _field(name, kind) for name, kind in KINDS.items()})
INGEST_ROW: Final = shape(
    "LogIngestRow",
    **{
        name: (
            serializers.CharField
            if "ip" in name or name in ("proxy_user_id", "log_hostname")
            else serializers.JSONField
        )(required=name == "log_request_datetime")
        for name in LOG.names.values()
    },
)


class LogIngestViewSet(TrackingViewSet):
    """Intake of single requests, with the guarantee of the other intake."""

    permission_classes = [CanIngest]
    throttle_classes = []

    @extend_schema(
        tags=["Tracking"],
        operation_id="log_ingest",
        request=shape("LogIngest", logs=INGEST_ROW(many=True, help_text="At most 100,000 rows.")),
        parameters=[*intake.HEADERS],
        responses={204: None, **tracking_problems(400, 401, 403, 409, 413, 415, 429, 503)},
    )
    def ingest(self, request: Request) -> Response:
        """Takes a batch of requests; each also counts, once, in everything that is added up."""
        intake.take(request, Batch.Route.LOG, rows.to_request_inbox)
        return Response(status=204)


class LogViewSet(TrackingViewSet):
    csv_columns = tuple(FIELDS)
    csv_name = "log"

    @extend_schema(
        tags=["Tracking"],
        operation_id="log_search",
        parameters=search.parameters(KINDS),
        responses={200: search.page_schema("LogPage", LOG_ROW), **tracking_problems(400, 401, 403, 404, 422, 429, 503)},
    )
    def list(self, request: Request) -> Response:
        """The requests of the last seven days that meet all conditions."""
        wanted = search.parse(request.query_params, KINDS)
        found, total = reads.search(caller(request).pk, wanted, timezone.now())
        return Response(search.page_of(found, total, wanted, "Log search successful."))

    @extend_schema(
        tags=["Tracking"],
        operation_id="log_retrieve",
        parameters=[OpenApiParameter("id", location="path")],
        responses={
            200: search.answer_schema("LogAnswer", LOG_ROW),
            **tracking_problems(400, 401, 403, 404, 429, 503),
        },
    )
    def retrieve(self, request: Request, id: str) -> Response:
        """One request."""
        found = reads.find(caller(request).pk, id, timezone.now())
        return Response({"data": found, "message": "Log successfully retrieved."})
