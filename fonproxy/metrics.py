"""``GET /metrics``, which Prometheus scrapes, for keys with the scope ``metrics``. Apps register their own metrics."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.module_loading import import_string
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from rest_framework.request import Request
from rest_framework.views import APIView

from fonproxy import health, job_health

job_health.register()
health.register()

# By name: this package imports no app.
PERMISSION = "accounts.permissions.CanReadMetrics"


class MetricsView(APIView):
    """Metrics in Prometheus' text format."""

    throttle_classes = ()  # throttles use the cache, and metrics matter most while the cache is unavailable

    def get_permissions(self) -> list[Any]:
        return [import_string(PERMISSION)()]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
