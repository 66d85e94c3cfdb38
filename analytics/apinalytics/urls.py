"""Routes of APInalytics, in every form in which clients write them: with and without the slash, singular and plural."""

from __future__ import annotations

from django.urls import path

from analytics.apinalytics.views import EventViewSet, ExportViewSet, OwnTimeSeriesViewSet, TimeSeriesViewSet

_send = EventViewSet.as_view({"post": "send"})
_series = TimeSeriesViewSet.as_view({"get": "retrieve"})

urlpatterns = [
    *(path(f"1/{name}{slash}", _send) for name in ("event", "events") for slash in ("/", "")),
    *(path(f"1/timeseries/<str:start>/<str:end>{slash}", _series) for slash in ("/", "")),
    path("applications/<str:id>/timeseries/<str:start>/<str:end>", OwnTimeSeriesViewSet.as_view({"get": "retrieve"})),
    path("applications/<str:id>/export", ExportViewSet.as_view({"get": "retrieve"})),
]
