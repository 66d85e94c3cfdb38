"""Routes of the daily summaries; they hang at two places, see ``analytics.urls``."""

from __future__ import annotations

from django.urls import path

from analytics.summary.views import SummaryViewSet

urlpatterns = [
    path("log_summary/search", SummaryViewSet.as_view({"get": "list"})),
    path("log_summary/retrieve/<str:id>", SummaryViewSet.as_view({"get": "retrieve"})),
]
