"""Routes of the usage app."""

from __future__ import annotations

from django.urls import include, path

from fonproxy.api.families import BYTEFUL_PREFIXES
from usage.alerts.unsubscribe import UnsubscribeView

urlpatterns = [
    path("", include("usage.provisioning.urls")),
    path("", include("usage.v1.urls")),
    path("", include("usage.dashboard.urls")),
    path("alerts/unsubscribe/<str:token>", UnsubscribeView.as_view()),
    *(path(prefix, include("usage.ledgers.urls")) for prefix in BYTEFUL_PREFIXES),
]
