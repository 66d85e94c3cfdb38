"""The product's routes, and a view for gateways that does nothing but authenticate the key."""

from __future__ import annotations

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from fonproxy.urls import urlpatterns as product
from orders.gateway.views import GatewayViewSet


class EmptyGatewayViewSet(GatewayViewSet):
    def create(self, request: Request) -> Response:
        return Response({})


urlpatterns = [path("gateway/empty", EmptyGatewayViewSet.as_view({"get": "create", "post": "create"})), *product]
