"""Routes of the log, included under two prefixes (``orders.byteful.family``)."""

from __future__ import annotations

from django.urls import path

from analytics.byteful.log.views import LogIngestViewSet, LogViewSet

urlpatterns = [
    path("log/ingest", LogIngestViewSet.as_view({"post": "ingest"})),
    path("log/search", LogViewSet.as_view({"get": "list"})),
    path("log/retrieve/<str:id>", LogViewSet.as_view({"get": "retrieve"})),
]
