"""The routes under ``/gateway/`` that decide which logins may pass."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import IsGateway
from fonproxy.api.docs import ErrorSerializer, problems
from fonproxy.api.renderers import columns_of
from orders.gateway import feed, forms, serializers
from orders.gateway.authentication import BasicKeyAuthentication
from orders.gateway.decision import decide
from orders.gateway.forms import Form

_FORBIDDEN: Final = OpenApiResponse(
    PolymorphicProxySerializer(
        "GatewayForbidden", [serializers.DeniedAnswer, ErrorSerializer], resource_type_field_name=None
    ),
    description="The login is refused for this reason, or the credential lacks the scope.",
)


class GatewayViewSet(ViewSet):
    """Routes of proxy servers. They have no throttle, because a refused sign-in would hit customers."""

    permission_classes = [IsGateway]
    throttle_classes = []

    def get_authenticators(self) -> list[Any]:
        return [BasicKeyAuthentication(), *super().get_authenticators()]


class SignInViewSet(GatewayViewSet):
    @extend_schema(
        tags=["Gateways"],
        operation_id="gateway_authorize",
        summary="Whether a login may pass",
        request=serializers.AuthorizeBody,
        responses={
            200: serializers.AllowedAnswer,
            **problems(400, 401, 413, 415, 503),
            403: _FORBIDDEN,
        },
    )
    def authorize(self, request: Request) -> Response:
        """403 with a reason for a refused login. Without a password only the login's state is checked."""
        return _answer(forms.AUTHORIZE, request)

    @extend_schema(
        tags=["Gateways"],
        operation_id="gateway_radius_authorize",
        summary="Whether a login may pass, for FreeRADIUS",
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiTypes.OBJECT, **problems(400, 403, 413, 415, 503), 401: OpenApiTypes.OBJECT},
    )
    def radius(self, request: Request) -> Response:
        """`rlm_rest` in the section `authorize` with `body = 'json'`; 401 rejects, with the reason as Reply-Message."""
        return _answer(forms.RADIUS, request)

    @extend_schema(
        tags=["Gateways"],
        operation_id="gateway_gost_auth",
        summary="Whether a login may pass, for gost",
        request=serializers.GostAuthBody,
        responses={200: serializers.GostAuthAnswer, **problems(400, 401, 403, 413, 415, 503)},
    )
    def gost(self, request: Request) -> Response:
        """gost's auther plugin of type `http`."""
        return _answer(forms.GOST, request)


def _answer(form: Form, request: Request) -> Response:
    sign_in = form.read(request.data)
    status, content = form.answer(sign_in, decide(sign_in, timezone.now()))
    return Response(content, status=status)


class LoginViewSet(GatewayViewSet):
    csv_columns = columns_of(serializers.LoginSerializer)
    csv_name = "logins"

    @extend_schema(
        tags=["Gateways"],
        operation_id="gateway_logins",
        summary="The state of every login, then changes",
        parameters=[serializers.LoginParams],
        responses={200: serializers.LoginsAnswer, **problems(400, 401, 403, 503)},
    )
    def list(self, request: Request) -> Response:
        """For gateways that decide themselves. Each login is listed once, with its current state."""
        given = serializers.LoginParams.read(request.query_params)
        return Response(serializers.LoginsAnswer(feed.changed_logins(given["since"], given["limit"])).data)
