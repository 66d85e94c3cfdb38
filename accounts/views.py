"""Tokens, API keys and orders: who you are and what you hold."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
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
from rest_framework_simplejwt.tokens import RefreshToken

from accounts import applications, selectors, serializers, services, viewing
from accounts.authentication import CHALLENGE, caller, read_token, user_of_token
from accounts.models import Application, Scope
from accounts.permissions import CanRead, IsPerson
from accounts.throttles import TokenThrottle
from fonproxy.api.docs import problems
from fonproxy.api.renderers import JsonRenderer
from fonproxy.api.throttles import PublicThrottle


class PublicView(APIView):
    """A route that makes credentials instead of asking for one."""

    authentication_classes = []
    permission_classes = [AllowAny]
    renderer_classes = [JsonRenderer]
    throttle_classes = [PublicThrottle]

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE  # without one, Django REST framework turns the 401 of a wrong password into a 403


class TokenView(PublicView):
    throttle_classes = [PublicThrottle, TokenThrottle]

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
        user = authenticate(request._request, **body.validated_data)
        if user is None:
            raise AuthenticationFailed("The user name or the password is wrong.")
        refresh = RefreshToken.for_user(user)
        return Response({"access": str(refresh.access_token), "refresh": str(refresh)})


class TokenRefreshView(PublicView):
    @extend_schema(
        operation_id="token_refresh",
        tags=["Credentials"],
        summary="Get a new access token",
        auth=[],
        request=serializers.RefreshRequestSerializer,
        responses={200: serializers.AccessTokenSerializer, **problems(400, 401, 413, 429)},
    )
    def post(self, request: Request) -> Response:
        body = serializers.RefreshRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        refresh = read_token(RefreshToken, body.validated_data["refresh"])
        user_of_token(refresh)
        return Response({"access": str(refresh.access_token)})


class ApiKeyViewSet(ViewSet):
    permission_classes = [IsPerson]
    lookup_field = "id"
    lookup_value_converter = "str"
    csv_columns = ("id", "name", "prefix", "scopes", "isActive", "lastAccessAt", "expiresAt", "createdAt")
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
        if Scope.INGEST in scopes and not user.is_staff:
            raise PermissionDenied
        key, secret = services.issue_key(user=user, name=name, scopes=scopes, expires_at=expires_at, now=now)
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
        services.revoke_key(selectors.find_key(caller(request).pk, id), timezone.now())
        return Response(status=204)


class ApplicationViewSet(ViewSet):
    permission_classes = [IsPerson]
    lookup_field = "id"
    lookup_value_converter = "str"
    csv_columns = ("id", "name", "createdAt")
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
        summary="Make an application with its keys",
        request=serializers.NewApplicationSerializer,
        responses={201: serializers.ApplicationKeysSerializer, **problems(400, 401, 403, 409, 413, 429)},
    )
    def create(self, request: Request) -> Response:
        body = serializers.NewApplicationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        application, keys = applications.create(caller(request), body.validated_data["name"], timezone.now())
        return Response(self._told(application, keys, "application.created"), status=201)

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
        keys = applications.rotate_keys(application, timezone.now(), **body.validated_data)
        return Response(self._told(application, keys, "application.keys_rotated"))

    def _told(self, application: Application, keys: applications.Keys, message: str) -> dict[str, Any]:
        answer = {"application": application, "message": message}
        return serializers.ApplicationKeysSerializer(answer, context={"keys": keys}).data


class StopViewingView(View):
    """Back from viewing as a customer to that customer's page in the admin."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        customer = viewing.stop(request)
        page = reverse("admin:accounts_user_change", args=[customer.pk]) if customer else reverse("admin:index")
        return HttpResponseRedirect(page)


class OrderViewSet(ViewSet):
    permission_classes = [CanRead]
    csv_columns = ("id", "name", "proxyType", "network", "status", "trafficLimitBytes", "startedAt", "expiresAt")
    csv_name = "orders"

    @extend_schema(
        operation_id="orders_list",
        tags=["Credentials"],
        summary="List your orders",
        parameters=[serializers.OrderParams],
        responses={200: serializers.OrderListSerializer, **problems(400, 401, 403, 404, 429)},
    )
    def list(self, request: Request) -> Response:
        params = serializers.OrderParams.read(request.query_params)
        orders = selectors.orders_of(selectors.account_for(caller(request), params["userId"]))
        return Response(serializers.OrderListSerializer({"orders": orders}, context={"now": timezone.now()}).data)
