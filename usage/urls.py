"""Routes of the usage app."""

from __future__ import annotations

from django.urls import include, path

from usage.alerts.unsubscribe import UnsubscribeAlertsPage
from usage.reports.unsubscribe import UnsubscribeReportsPage

urlpatterns = [
    path("", include("usage.weproxies.urls")),
    path("", include("usage.billing.urls")),
    path("reports/unsubscribe/<str:token>", UnsubscribeReportsPage.as_view()),
    path("alerts/unsubscribe/<str:token>", UnsubscribeAlertsPage.as_view()),
]
