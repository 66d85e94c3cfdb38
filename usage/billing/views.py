"""``GET /provisioning/usage``: pages of JSON, or everything as NDJSON or CSV, streamed as it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import caller
from accounts.permissions import CanProvision
from fonproxy.api import cursors
from fonproxy.api.docs import problems, shape
from fonproxy.api.exports import streamed
from fonproxy.api.renderers import (
    CSV_TYPE,
    CsvRenderer,
    JsonRenderer,
    byte_order_mark,
    columns_of,
    csv_file_parts,
    file_name,
)
from fonproxy.api.throttles import ProvisioningThrottle
from orders.models import ProxyType
from usage.billing.params import UsageParams
from usage.billing.rows import BillingRequest, Row, RowKey, Rows

NAME: Final = "usage"
DEFAULT_LIMIT: Final = 1000
# Orders without usage yield no rows, so smaller steps would cause many queries without a result.
MIN_AT_ONCE: Final = 1000

ROW: Final = shape(
    "BillingUsageRow",
    identifier=serializers.CharField(
        help_text="Identifies this row and revision; repeated responses have the same one."
    ),
    timestamp=serializers.IntegerField(
        help_text="Seconds since 1970: the period's last second, or `lastUsedAt` while it runs."
    ),
    value=serializers.CharField(help_text="Bytes of both directions, as text, as in meter events."),
    user=serializers.CharField(allow_null=True, help_text="The customer's external id."),
    userId=serializers.IntegerField(help_text="The number under which gateways push."),
    order=serializers.CharField(allow_null=True, help_text="The order's external id, by order and proxy user."),
    orderId=serializers.IntegerField(allow_null=True, help_text="The number under which gateways push."),
    product=serializers.CharField(allow_null=True),
    proxyType=serializers.ChoiceField(choices=ProxyType.choices, allow_null=True),
    proxyUser=serializers.CharField(allow_null=True, help_text="The login, while it exists."),
    proxyUserId=serializers.CharField(allow_null=True, help_text="Null for traffic pushed without a login."),
    worker=serializers.CharField(allow_null=True, help_text="As pushed, by worker; empty if the rows name none."),
    day=serializers.DateField(allow_null=True, help_text="By day: the date in tz."),
    **{"from": serializers.DateTimeField()},
    to=serializers.DateTimeField(help_text="Exclusive."),
    bytesSent=serializers.IntegerField(help_text="Received from the customer."),
    bytesReceived=serializers.IntegerField(help_text="Sent to the customer."),
    requests=serializers.IntegerField(),
    errors=serializers.IntegerField(),
    firstUsedAt=serializers.DateTimeField(help_text="The start of the first bucket of 15 minutes with traffic."),
    lastUsedAt=serializers.DateTimeField(help_text="The start of the last bucket of 15 minutes with traffic."),
    attributed=serializers.BooleanField(help_text="False: the user has no such order; the traffic is in no ledger."),
    closed=serializers.BooleanField(help_text="Rows that arrive from now on increase `revision`."),
    revision=serializers.IntegerField(help_text="The number of rows of traffic that arrived after the close."),
)
PAGE: Final = shape(
    "BillingUsage",
    usage=ROW(many=True),
    nextCursor=serializers.CharField(allow_null=True, help_text="Null on the last page."),
)
COLUMNS: Final = columns_of(ROW)


class NdjsonRenderer(JsonRenderer):
    """Selected by ``format=ndjson`` or ``Accept``; responses that are not streamed, such as errors, are JSON."""

    media_type = "application/x-ndjson"
    format = "ndjson"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        assert renderer_context is not None
        renderer_context["response"].headers["Content-Type"] = JsonRenderer.media_type
        return super().render(data)


class BillingUsageViewSet(ViewSet):
    permission_classes = [CanProvision]
    required_permissions = {"list": ("orders.view_order", "accounts.view_user")}
    throttle_classes = [ProvisioningThrottle]
    renderer_classes = [JsonRenderer, CsvRenderer, NdjsonRenderer]
    csv_columns = COLUMNS
    csv_name = NAME

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_usage",
        summary="Usage of all customers, for billing",
        parameters=[UsageParams],
        responses={
            (200, "application/json"): PAGE,
            (200, "application/x-ndjson"): ROW,
            (200, "text/csv"): OpenApiTypes.STR,
            **problems(400, 401, 403, 429, 503),
        },
    )
    def list(self, request: Request) -> HttpResponseBase:
        """Sums of the range by customer, order, product, proxy user or worker, with external ids.

        JSON is paged; NDJSON and CSV are streamed whole. A row is `closed` 25 hours after its period.
        """
        given = UsageParams.read(request.query_params)
        asked: BillingRequest = given["request"]
        after = None
        if "cursor" in given:
            after = RowKey(*cursors.decode(given["cursor"], NAME, given["filters"]))
        now = timezone.now()
        match request.accepted_renderer.format:
            case "csv":
                return self._csv(request, asked.rows(now, after))
            case "ndjson":
                lines = (b"".join(_line(row) for _, row in rows) for rows in asked.rows(now, after))
                return streamed(caller(request).pk, lines, NdjsonRenderer.media_type, "usage.ndjson")
            case _:
                return self._page(given, after, now)

    def _page(self, given: dict[str, Any], after: RowKey | None, now: datetime) -> Response:
        limit = given.get("limit", DEFAULT_LIMIT)
        found: Rows = []
        for rows in given["request"].rows(now, after, max(limit + 1, MIN_AT_ONCE)):
            found += rows
            if len(found) > limit:
                break
        shown = found[:limit]
        more = len(found) > limit
        cursor = cursors.encode(NAME, given["filters"], shown[-1][0]) if more else None
        return Response({"usage": [row for _, row in shown], "nextCursor": cursor})

    def _csv(self, request: Request, pages: Iterable[Rows]) -> StreamingHttpResponse:
        rows = (row.values() for page in pages for _, row in page)
        parts = csv_file_parts(COLUMNS, rows, byte_order_mark(request.query_params))
        return streamed(caller(request).pk, parts, CSV_TYPE, file_name(NAME, request.query_params))


def _line(row: Row) -> bytes:
    return msgspec.json.encode(row) + b"\n"
