"""Tokens, API keys and applications."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views import View
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from accounts import applications, factors, selectors, serializers, services, sign_in_policy, tokens, viewing
from accounts.authentication import CHALLENGE, caller, person, record_change
from accounts.models import Application, User
from accounts.permissions import HasRecentProof, IsPerson
from accounts.powers import grantable
from accounts.throttles import NameThrottle, TokenThrottle, remember_origin
from fonproxy.api.docs import problems
from fonproxy.api.errors import SecondFactorRequired
from fonproxy.api.renderers import JsonRenderer, columns_of
from fonproxy.api.throttles import PublicThrottle


class PublicView(APIView):
    """A route that issues credentials and therefore requires none."""

    authentication_classes = []
    permission_classes = [AllowAny]
    renderer_classes = [JsonRenderer]
    throttle_classes = [PublicThrottle]

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE  # without one, Django REST framework turns the 401 of a wrong password into a 403


class TokenView(PublicView):
    throttle_classes = [PublicThrottle, TokenThrottle, NameThrottle]

    @extend_schema(
        operation_id="token_create",
        tags=["Credentials"],
        summary="Sign in",
        auth=[],
        request=serializers.TokenRequestSerializer,
        responses={200: serializers.TokenPairSerializer, **problems(400, 401, 413, 429)},
    )
    def post(self, request: Request) -> Response:
        body = serializers.TokenRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        user = authenticate(request._request, username=given["username"], password=given["password"])
        if not isinstance(user, User):
            raise AuthenticationFailed(tokens.BAD_SIGN_IN)
        has_factor = factors.is_enrolled(user)
        if has_factor and not factors.verify(user, given["otp"], timezone.now()):
            raise SecondFactorRequired("This account has a second factor: send a current code as otp.")
        if sign_in_policy.needs_factor(user) and not has_factor:
            raise SecondFactorRequired("Staff need a second factor: sign in to the admin once to set it up.")
        remember_origin(request._request, given["username"])
        return Response(tokens.issue(user, timezone.now(), has_factor=has_factor)._asdict())


class TokenRefreshView(PublicView):
    @extend_schema(
        operation_id="token_refresh",
        tags=["Credentials"],
        summary="Exchange a refresh token for new tokens",
        description="A refresh token works once. Sending it again ends all tokens of its sign-in.",
        auth=[],
        request=serializers.RefreshRequestSerializer,
        responses={200: serializers.TokenPairSerializer, **problems(400, 401, 413, 429)},
    )
    def post(self, request: Request) -> Response:
        body = serializers.RefreshRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(tokens.rotate(body.validated_data["refresh"], timezone.now())._asdict())


class TokenSignOutView(APIView):
    permission_classes = [IsPerson]

    @extend_schema(
        operation_id="sign_out",
        tags=["Credentials"],
        summary="End all your tokens and sessions",
        request=None,
        responses={204: None, **problems(400, 401, 403, 429)},
    )
    def post(self, request: Request) -> Response:
        """Ends the sign-ins of the person, whichever account the session views. API keys keep working."""
        person(request).end_sign_ins()
        return Response(status=204)


class ApiKeyViewSet(ViewSet):
    permission_classes = [HasRecentProof]
    lookup_field = "id"
    lookup_value_converter = "str"
    csv_columns = columns_of(serializers.ApiKeySerializer)
    csv_name = "api-keys"

    @extend_schema(
        operation_id="api_keys_list",
        tags=["Credentials"],
        summary="List your API keys",
        responses={200: serializers.KeyListSerializer, **problems(400, 401, 403, 429)},
    )
    def list(self, request: Request) -> Response:
        keys = selectors.keys_of(caller(request).pk)
        return Response(serializers.KeyListSerializer({"apiKeys": keys}, context={"now": timezone.now()}).data)

    @extend_schema(
        operation_id="api_keys_create",
        tags=["Credentials"],
        summary="Issue an API key",
        request=serializers.NewKeySerializer,
        responses={201: serializers.KeyCreatedSerializer, **problems(400, 401, 403, 409, 413, 429)},
    )
    def create(self, request: Request) -> Response:
        now = timezone.now()
        user = caller(request)
        body = serializers.NewKeySerializer(data=request.data, context={"now": now})
        body.is_valid(raise_exception=True)
        name, scopes, expires_at = (body.validated_data[field] for field in ("name", "scopes", "expiresAt"))
        if not grantable(user).issuperset(scopes):
            raise PermissionDenied
        with transaction.atomic():
            key, secret = services.issue_key(user=user, name=name, scopes=scopes, expires_at=expires_at, now=now)
            record_change("api key issued", request, now)
        answer = {"apiKey": key, "message": "api_key.created"}
        issued = serializers.KeyCreatedSerializer(answer, context={"now": now, "secret": secret})
        return Response(issued.data, status=201)

    @extend_schema(
        operation_id="api_keys_revoke",
        tags=["Credentials"],
        summary="Revoke an API key",
        responses={204: None, **problems(400, 401, 403, 404, 429)},
    )
    def destroy(self, request: Request, id: str) -> Response:
        now, key = timezone.now(), selectors.find_key(caller(request).pk, id)
        with transaction.atomic():
            if services.revoke_key(key, now):
                record_change("api key revoked", request, now)
        return Response(status=204)


class ApplicationViewSet(ViewSet):
    permission_classes = [HasRecentProof]
    lookup_field = "id"
    lookup_value_converter = "str"
    csv_columns = columns_of(serializers.ApplicationSerializer)
    csv_name = "applications"

    @extend_schema(
        operation_id="applications_list",
        tags=["Applications"],
        summary="List your applications",
        responses={200: serializers.ApplicationListSerializer, **problems(400, 401, 403, 429)},
    )
    def list(self, request: Request) -> Response:
        found = applications.applications_of(caller(request).pk)
        return Response(serializers.ApplicationListSerializer({"applications": found}).data)

    @extend_schema(
        operation_id="applications_create",
        tags=["Applications"],
        summary="Create an application with its keys",
        request=serializers.NewApplicationSerializer,
        responses={201: serializers.ApplicationKeysSerializer, **problems(400, 401, 403, 409, 413, 429)},
    )
    def create(self, request: Request) -> Response:
        body = serializers.NewApplicationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        with transaction.atomic():
            application, keys = applications.create(caller(request), body.validated_data["name"], now)
            record_change("application created", request, now)
        return Response(self._with_keys(application, keys, "application.created"), status=201)

    @extend_schema(
        operation_id="applications_rotate_keys",
        tags=["Applications"],
        summary="Exchange an application's keys",
        request=serializers.RotationSerializer,
        responses={200: serializers.ApplicationKeysSerializer, **problems(400, 401, 403, 404, 413, 429)},
    )
    @action(detail=True, methods=["post"], url_path="rotate-keys")
    def rotate_keys(self, request: Request, id: str) -> Response:
        application = applications.find_application(caller(request).pk, id)
        body = serializers.RotationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        with transaction.atomic():
            keys = applications.rotate_keys(application, now, **body.validated_data)
            record_change("application keys rotated", request, now)
        return Response(self._with_keys(application, keys, "application.keys_rotated"))

    def _with_keys(self, application: Application, keys: applications.Keys, message: str) -> dict[str, Any]:
        answer = {"application": application, "message": message}
        return serializers.ApplicationKeysSerializer(answer, context={"keys": keys}).data


class StopViewingView(View):
    """Ends viewing and redirects to that customer's page in the admin."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        customer = viewing.stop(request)
        page = reverse("admin:accounts_user_change", args=[customer.pk]) if customer else reverse("admin:index")
        return HttpResponseRedirect(page)
