"""Routes of WeProxies' usage API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from usage.weproxies import views
from usage.weproxies.alerts import AlertViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("api/v1/subscriptions", views.SubscriptionViewSet, basename="subscription")
router.register("api/v1/usage/alerts", AlertViewSet, basename="alert")

urlpatterns = [
    *router.urls,
    path("api/v1/me", views.MeViewSet.as_view({"get": "retrieve"})),
    path("api/v1/subscriptions/<str:id>/usage", views.WeProxiesUsageViewSet.as_view({"get": "of_subscription"})),
    path("api/v1/usage", views.WeProxiesUsageViewSet.as_view({"get": "summary"})),
    path("api/v1/usage/history", views.HistoryViewSet.as_view({"get": "history"})),
    path("api/v1/usage/realtime", views.WeProxiesUsageViewSet.as_view({"get": "realtime"})),
    path("api/v1/usage/by-country", views.CountryViewSet.as_view({"get": "by_country"})),
]
