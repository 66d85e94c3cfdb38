"""Routes of the pages."""

from __future__ import annotations

from django.urls import path
from django.views.i18n import JavaScriptCatalog

from usage.dashboard import alerts, applications, keys
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
    path("dashboard/alerts", alerts.AlertsPage.as_view(), name="alerts"),
    path("dashboard/alerts/new", alerts.NewAlertPage.as_view(), name="new-alert"),
    path("dashboard/alerts/<str:id>", alerts.AlertPage.as_view(), name="alert"),
    path("dashboard/alerts/<str:id>/test", alerts.SendTestPage.as_view(), name="test-alert"),
    path("dashboard/alerts/<str:id>/delete", alerts.DeleteAlertPage.as_view(), name="delete-alert"),
    path("dashboard/keys", keys.KeysPage.as_view(), name="keys"),
    path("dashboard/keys/<str:id>/revoke", keys.RevokeKeyPage.as_view(), name="revoke-key"),
    path("dashboard/applications", applications.ApplicationsPage.as_view(), name="applications"),
    path("dashboard/applications/<str:id>", applications.ApplicationPage.as_view(), name="application"),
    path(
        "dashboard/applications/<str:id>/rotate",
        applications.RotateApplicationPage.as_view(),
        name="rotate-application",
    ),
    path(
        "dashboard/strings.js",
        JavaScriptCatalog.as_view(packages=["usage"], http_method_names=["get", "head"]),
        name="strings",
    ),
    path("proxies", ProxiesPage.as_view(), name="proxies"),
]
