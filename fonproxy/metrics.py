"""``GET /metrics``: what Prometheus collects, for staff's keys. Apps register what they have to tell."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.module_loading import import_string
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from rest_framework.request import Request
from rest_framework.views import APIView

from fonproxy import beat, health

beat.register()
health.register()

# By name: the floor imports no app.
STAFF_ONLY = "accounts.permissions.IsStaff"


class MetricsView(APIView):
    """In Prometheus' text format."""

    throttle_classes = ()  # it counts in the cache, and is asked most urgently while that is away

    def get_permissions(self) -> list[Any]:
        return [import_string(STAFF_ONLY)()]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
