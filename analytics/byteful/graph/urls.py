"""Routes of the graph and the breakdown; ``analytics.urls`` includes them under two prefixes."""

from __future__ import annotations

from django.urls import path

from analytics.byteful.graph.views import BreakdownViewSet, GraphViewSet

urlpatterns = [
    path("analytics/graph", GraphViewSet.as_view({"get": "retrieve"})),
    path("analytics/breakdown", BreakdownViewSet.as_view({"get": "retrieve"})),
]
