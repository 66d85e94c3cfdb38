"""The product's routes, and a ViewSet that does nothing under the same throttle."""

from __future__ import annotations

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from fonproxy.api.throttles import PublicThrottle
from fonproxy.urls import urlpatterns as product


class EmptyPublicViewSet(ViewSet):
    authentication_classes = []
    permission_classes = []
    throttle_classes = [PublicThrottle]

    def list(self, request: Request) -> Response:
        return Response({})


urlpatterns = [path("empty", EmptyPublicViewSet.as_view({"get": "list"})), *product]
