"""The orders and proxy users of an account."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import caller, record_change
from accounts.permissions import OwnData
from accounts.selectors import account_for
from fonproxy.api.docs import problems
from fonproxy.api.renderers import columns_of
from orders import proxy_users, selectors, serializers, traffic


class OrderViewSet(ViewSet):
    permission_classes = [OwnData]
    csv_columns = columns_of(serializers.OrderSerializer, without=["period"])
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
        orders = selectors.orders_of(account_for(caller(request), params["userId"]))
        return Response(serializers.OrderListSerializer({"orders": orders}, context={"now": timezone.now()}).data)


class ProxyUserViewSet(ViewSet):
    permission_classes = [OwnData]
    lookup_field = "id"
    csv_columns = (
        *columns_of(serializers.ProxyUserSerializer),
        *(f"used.{name}" for name in columns_of(serializers.LoginBytesSerializer)),
    )
    csv_name = "proxy-users"

    @extend_schema(
        operation_id="proxy_users_list",
        tags=["Proxy users"],
        summary="List your proxy users and their usage",
        parameters=[serializers.OrderParams],
        responses={200: serializers.ProxyUserListSerializer, **problems(400, 401, 403, 404, 429, 503)},
    )
    def list(self, request: Request) -> Response:
        params, now = serializers.OrderParams.read(request.query_params), timezone.now()
        users = list(selectors.proxy_users_of(account_for(caller(request), params["userId"])))
        context = {"now": now, "used": traffic.used_by(users, now)}
        return Response(serializers.ProxyUserListSerializer({"proxyUsers": users}, context=context).data)

    @extend_schema(
        operation_id="proxy_users_patch",
        tags=["Proxy users"],
        summary="Change a password, the allowed addresses or the limits",
        request=serializers.ProxyUserPatch,
        responses={200: serializers.ProxyUserAnswer, **problems(400, 401, 403, 404, 413, 415, 429)},
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Gateways learn of the change within seconds. Open connections continue, unless a limit is reached."""
        user = selectors.own_proxy_user(caller(request).pk, id)
        body = serializers.ProxyUserPatch(data=request.data)
        body.is_valid(raise_exception=True)
        with transaction.atomic():
            user, generated = proxy_users.change_by_owner(user, body.validated_data)
            what = "login password changed" if "password" in body.validated_data else "login changed"
            record_change(what, request, timezone.now())
        answer = {"proxyUser": user, **({"password": generated} if generated else {})}
        response = Response(serializers.ProxyUserAnswer(answer, context={"now": timezone.now()}).data)
        response["Cache-Control"] = "no-store"
        return response
