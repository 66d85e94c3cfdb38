"""Routes of the graph and the breakdown; they hang at two places, see ``analytics.urls``."""

from __future__ import annotations

from django.urls import path

from analytics.byteful.graph.views import BreakdownViewSet, GraphViewSet

urlpatterns = [
    path("analytics/graph", GraphViewSet.as_view({"get": "retrieve"})),
    path("analytics/breakdown", BreakdownViewSet.as_view({"get": "retrieve"})),
]
