"""Routes for proxy servers that report running connections."""

from __future__ import annotations

from django.urls import path

from analytics.gateway.views import SessionViewSet

urlpatterns = [
    path("gateway/sessions", SessionViewSet.as_view({"post": "sessions"})),
    path("gateway/radius/accounting", SessionViewSet.as_view({"post": "radius"})),
    path("gateway/gost/observe", SessionViewSet.as_view({"post": "gost"})),
]
