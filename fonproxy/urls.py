"""Root URLs. Paths are those of the published APIs, without a trailing slash."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from fonproxy import health
from fonproxy.api.docs import ReferenceView, SchemaView
from fonproxy.metrics import MetricsView

urlpatterns = [
    # The cheapest and the most frequent routes first, because patterns are tried in turn.
    path("", include("geo.urls")),
    path("", include("analytics.urls")),
    path("", RedirectView.as_view(pattern_name="overview"), name="home"),
    path("healthz", health.live, name="live"),
    path("readyz", health.ready, name="ready"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("openapi.json", SchemaView.as_view(), name="schema"),
    path("docs", ReferenceView.as_view(), name="docs"),
    path("", include("accounts.urls")),
    # The only sign-in, which is throttled.
    path("admin/login/", RedirectView.as_view(pattern_name="sign-in", query_string=True)),
    path("admin/", admin.site.urls),  # matches every path below it that no earlier pattern did
    path("", include("orders.urls")),
    path("", include("usage.urls")),
    path("", include("dashboard.urls")),
    path("", include("orders.byteful.unknown_routes")),  # after the apps that serve Byteful's routes
]

handler400 = "fonproxy.error_views.bad_request"
handler403 = "fonproxy.error_views.forbidden"
handler404 = "fonproxy.error_views.not_found"
handler500 = "fonproxy.error_views.server_error"
