"""Byteful's log of single requests: ingest from gateways, searches by customers."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import CanIngest
from analytics.byteful.log import ingest_columns, reads
from analytics.byteful.log.ingest_row import LOG
from analytics.byteful.log.queries import FIELDS, MAX_COUNTED, NULLABLE
from analytics.ingest import service as ingest_service
from analytics.models import IngestBatch
from fonproxy.api.docs import shape
from fonproxy.api.search import NUMBER, FieldType
from orders.byteful.family import TAG, BytefulViewSet, byteful_problems
from orders.byteful.searches import SearchViewSet, describe_search

KINDS: Final = {name: kind for name, (kind, _) in FIELDS.items()}


def _field(name: str, kind: FieldType) -> serializers.Field[Any, Any, Any, Any]:
    is_number = kind is NUMBER or name == "customer_id"
    make = serializers.IntegerField if is_number else serializers.CharField
    return make(allow_null=name in NULLABLE or name == "proxy_user_id")


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


class LogIngestViewSet(BytefulViewSet):
    """Ingest of single requests."""

    permission_classes = [CanIngest]
    throttle_classes = []

    @extend_schema(
        tags=[TAG],
        operation_id="byteful_log_ingest",
        request=shape("LogIngest", logs=INGEST_ROW(many=True, help_text="At most 100,000 rows.")),
        parameters=[*ingest_service.HEADERS],
        responses={204: None, **byteful_problems(400, 401, 403, 409, 413, 415, 429, 503)},
    )
    def ingest(self, request: Request) -> Response:
        """Stores a batch of requests; each also counts once in charts, usage and ledgers."""
        headers = ingest_service.ingest(request, IngestBatch.Route.LOG, ingest_columns.pushed_requests)
        return Response(status=204, headers=headers)


@describe_search(
    "log",
    "Log",
    LOG_ROW,
    many={"description": "The requests of the last seven days that match all filters."},
    one={"description": "One request."},
    total_count=(
        f"All matching rows. A search by more than the time counts to {MAX_COUNTED + 1:,}, or to one more than the "
        "pages up to this one hold, and no further."
    ),
)
class LogViewSet(SearchViewSet):
    csv_columns = tuple(FIELDS)
    csv_name = "log"
    title = "Log"
    fields = KINDS
    search = staticmethod(reads.search)
    find = staticmethod(reads.find)
