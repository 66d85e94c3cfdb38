"""Routes of the geo app."""

from __future__ import annotations

from django.urls import path

from geo import views

urlpatterns = [
    path("geo/counts", views.GeoViewSet.as_view({"get": "counts"})),
    path("geo/countries", views.GeoViewSet.as_view({"get": "countries"})),
    path("provisioning/geo-counts", views.RawCountsViewSet.as_view({"get": "raw"})),
]
