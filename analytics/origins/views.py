"""Reads of where traffic runs, for staff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import CanProvision
from analytics.origins import queries
from analytics.origins.queries import OriginGroup
from fonproxy.api.docs import problems, shape
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.api.params import InstantField, Params, WholeNumberField
from fonproxy.api.renderers import columns_of
from fonproxy.api.throttles import ProvisioningThrottle
from fonproxy.timerange import InvalidTime, Range

MAX_RANGE: Final = timedelta(days=31)
PERMISSIONS: Final = ("analytics.view_ingestbatch", "accounts.view_user")


class SpanParams(Params):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": InstantField(help_text="Start, an ISO 8601 date or date-time in UTC; 90 days are kept."),
            "to": InstantField(
                help_text="End, exclusive; a date means the whole of that day. At most 31 days after from."
            ),
            **super().get_fields(),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            attrs["range"] = Range.between(attrs["from"], attrs["to"])
        except InvalidTime as fault:
            raise serializers.ValidationError({"to": [str(fault)]}) from None
        if attrs["range"].length > MAX_RANGE:
            message = "Must lie at most 31 days after from."
            raise InvalidInput("The range is longer than 31 days.", errors=[FieldError("to", message)])
        return attrs


class OriginParams(SpanParams):
    group = serializers.ChoiceField([group.value for group in OriginGroup], required=False, default="worker")
    interval = serializers.ChoiceField(["total", "day"], required=False, default="total")
    limit = WholeNumberField(
        required=False,
        default=100,
        min_value=1,
        max_value=1000,
        help_text="The number of groups, those with most bytes.",
    )


class ClientParams(SpanParams):
    above = WholeNumberField(
        required=False, default=10, min_value=0, max_value=10**9, help_text="Only logins with more addresses than this."
    )
    limit = WholeNumberField(required=False, default=100, min_value=1, max_value=1000)


ORIGIN: Final = shape(
    "Origin",
    key=serializers.CharField(
        help_text="The worker, peer or exit range (/24, /48), or the number of the product or customer."
    ),
    name=serializers.CharField(help_text="The product's or customer's name; empty if it does not exist."),
    day=serializers.DateField(allow_null=True, help_text="In UTC, by day."),
    bytesSent=serializers.IntegerField(help_text="Received from customers."),
    bytesReceived=serializers.IntegerField(help_text="Sent to customers."),
    requests=serializers.IntegerField(),
    errors=serializers.IntegerField(),
)
CLIENTS: Final = shape(
    "LoginClients",
    day=serializers.DateField(help_text="In UTC."),
    login=serializers.CharField(allow_null=True, help_text="Null for a login that was deleted."),
    order=serializers.CharField(allow_null=True, help_text="The order's external id."),
    user=serializers.CharField(allow_null=True, help_text="The customer's external id."),
    clients=serializers.IntegerField(help_text="Distinct client addresses; above some thousands an estimate."),
    requests=serializers.IntegerField(),
)
ORIGINS: Final = shape("Origins", origins=ORIGIN(many=True))
LOGIN_CLIENTS: Final = shape("LoginClientsAnswer", logins=CLIENTS(many=True))


class StaffReadViewSet(ViewSet):
    permission_classes = [CanProvision]
    required_permissions = {"list": PERMISSIONS}
    throttle_classes = [ProvisioningThrottle]


class OriginViewSet(StaffReadViewSet):
    csv_columns = columns_of(ORIGIN)
    csv_name = "origins"

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_origins",
        summary="Where traffic runs",
        parameters=[OriginParams],
        responses={200: ORIGINS, **problems(400, 401, 403, 429, 503)},
    )
    def list(self, request: Request) -> Response:
        """Traffic of all customers by worker, peer, exit address range, product or customer."""
        given = OriginParams.read(request.query_params)
        found = queries.origins(
            OriginGroup(given["group"]),
            given["range"],
            given["limit"],
            timezone.now(),
            by_day=given["interval"] == "day",
        )
        rows = [dict(zip(self.csv_columns, row, strict=True)) for row in found]
        return Response(ORIGINS({"origins": rows}).data)


class LoginClientsViewSet(StaffReadViewSet):
    csv_columns = columns_of(CLIENTS)
    csv_name = "login-clients"

    @extend_schema(
        tags=["Provisioning"],
        operation_id="provisioning_login_clients",
        summary="Logins with many client addresses",
        parameters=[ClientParams],
        responses={200: LOGIN_CLIENTS, **problems(400, 401, 403, 429, 503)},
    )
    def list(self, request: Request) -> Response:
        """Days on which a login had more client addresses than `above`, most first. No address is shown."""
        given = ClientParams.read(request.query_params)
        found = queries.login_clients(given["range"], given["above"], given["limit"], timezone.now())
        rows = [
            {
                "day": row.day,
                "login": row.proxy_user.login if row.proxy_user else None,
                "order": row.proxy_user.order.external_id if row.proxy_user else None,
                "user": row.proxy_user.order.user.external_id if row.proxy_user else None,
                "clients": row.clients,
                "requests": row.requests,
            }
            for row in found
        ]
        return Response(LOGIN_CLIENTS({"logins": rows}).data)
