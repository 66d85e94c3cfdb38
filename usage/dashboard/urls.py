"""Routes of the pages."""

from __future__ import annotations

from django.urls import path
from django.views.i18n import JavaScriptCatalog

from usage.dashboard.explore import ExplorePage
from usage.dashboard.ledger import LedgerPage
from usage.dashboard.logs import LogsPage
from usage.dashboard.overview import OverviewPage
from usage.dashboard.proxies import ProxiesPage

urlpatterns = [
    path("dashboard", OverviewPage.as_view(), name="overview"),
    path("dashboard/explore", ExplorePage.as_view(), name="explore"),
    path("dashboard/logs", LogsPage.as_view(), name="logs"),
    path("dashboard/ledger", LedgerPage.as_view(), name="ledger"),
    path(
        "dashboard/strings.js",
        JavaScriptCatalog.as_view(packages=["usage"], http_method_names=["get", "head"]),
        name="strings",
    ),
    path("proxies", ProxiesPage.as_view(), name="proxies"),
]
