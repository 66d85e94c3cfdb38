"""Routes of the daily summaries; ``analytics.urls`` includes them under two prefixes."""

from __future__ import annotations

from django.urls import path

from analytics.byteful.summary.views import LogSummaryViewSet

urlpatterns = [
    path("log_summary/search", LogSummaryViewSet.as_view({"get": "list"})),
    path("log_summary/retrieve/<str:id>", LogSummaryViewSet.as_view({"get": "retrieve"})),
]
