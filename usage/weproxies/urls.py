"""Routes of WeProxies' usage API."""

from __future__ import annotations

from django.urls import path

from usage.weproxies import views
from usage.weproxies.alerts import AlertViewSet

urlpatterns = [
    path("api/v1/me", views.MeViewSet.as_view({"get": "retrieve"})),
    path("api/v1/subscriptions", views.SubscriptionViewSet.as_view({"get": "list"})),
    path("api/v1/subscriptions/<str:id>", views.SubscriptionViewSet.as_view({"get": "retrieve"})),
    path("api/v1/subscriptions/<str:id>/usage", views.WeProxiesUsageViewSet.as_view({"get": "of_subscription"})),
    path("api/v1/usage", views.WeProxiesUsageViewSet.as_view({"get": "summary"})),
    path("api/v1/usage/history", views.HistoryViewSet.as_view({"get": "history"})),
    path("api/v1/usage/realtime", views.WeProxiesUsageViewSet.as_view({"get": "realtime"})),
    path("api/v1/usage/by-country", views.CountryViewSet.as_view({"get": "by_country"})),
    path("api/v1/usage/alerts", AlertViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "api/v1/usage/alerts/<str:id>",
        AlertViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
]
