"""Routes of the published analytics APIs."""

from __future__ import annotations

from django.urls import include, path

from analytics.origins.views import LoginClientsViewSet, OriginViewSet
from analytics.traffic.views import IngestViewSet, SharedTrafficViewSet, TrafficViewSet
from orders.byteful.family import routes

urlpatterns = [
    path("", include("analytics.apinalytics.urls")),
    path("", include("analytics.gateway.urls")),
    path("provisioning/origins", OriginViewSet.as_view({"get": "list"})),
    path("provisioning/login-clients", LoginClientsViewSet.as_view({"get": "list"})),
    path("analytics/ingest", IngestViewSet.as_view({"post": "ingest"}), name="analytics-ingest"),
    *(
        path(f"analytics/{report}", TrafficViewSet.as_view({"get": report}), name=f"analytics-{report}")
        for report in ("traffic", "requests", "concurrency", "domains", "errors", "countries", "websites")
    ),
    *(
        path(f"shared/<str:token>/{report}", SharedTrafficViewSet.as_view({"get": report}), name=f"shared-{report}")
        for report in ("traffic", "requests", "concurrency", "errors", "countries", "websites")
    ),
    *(route for part in ("log", "summary", "graph") for route in routes(f"analytics.byteful.{part}.urls")),
]
