"""Routes of the pages."""

from __future__ import annotations

from django.urls import path
from django.views.i18n import JavaScriptCatalog

from usage.dashboard.explore import ExplorePage
from usage.dashboard.overview import OverviewPage

urlpatterns = [
    path("dashboard", OverviewPage.as_view(), name="overview"),
    path("dashboard/explore", ExplorePage.as_view(), name="explore"),
    path(
        "dashboard/strings.js",
        JavaScriptCatalog.as_view(packages=["usage"], http_method_names=["get", "head"]),
        name="strings",
    ),
]
