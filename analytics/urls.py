"""Routes of the published analytics APIs."""

from __future__ import annotations

from django.urls import include, path

from analytics.traffic.views import IngestViewSet, TrafficViewSet
from fonproxy.api.families import BYTEFUL_PREFIXES

urlpatterns = [
    path("", include("analytics.events.urls")),
    path("analytics/ingest", IngestViewSet.as_view({"post": "ingest"}), name="analytics-ingest"),
    *(
        path(f"analytics/{report}", TrafficViewSet.as_view({"get": report}), name=f"analytics-{report}")
        for report in ("traffic", "requests", "concurrency", "domains", "errors", "websites")
    ),
    *(
        path(prefix, include(f"analytics.{part}.urls"))
        for part in ("log", "summary", "graph")
        for prefix in BYTEFUL_PREFIXES
    ),
]
