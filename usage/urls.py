"""Routes of the usage app."""

from __future__ import annotations

from django.urls import include, path

from fonproxy.api.families import BYTEFUL_PREFIXES

urlpatterns = [
    path("", include("usage.provisioning.urls")),
    path("", include("usage.v1.urls")),
    *(path(prefix, include("usage.ledgers.urls")) for prefix in BYTEFUL_PREFIXES),
]
