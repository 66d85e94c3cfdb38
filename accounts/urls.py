"""Routes of the accounts app."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from accounts import views

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("api-keys", views.ApiKeyViewSet, basename="api-key")
router.register("applications", views.ApplicationViewSet, basename="application")
router.register("orders", views.OrderViewSet, basename="order")

urlpatterns = [
    path("admin/stop-viewing", views.StopViewingView.as_view(), name="stop-viewing"),
    path("auth/token", views.TokenView.as_view(), name="token"),
    path("auth/token/refresh", views.TokenRefreshView.as_view(), name="token-refresh"),
    *router.urls,
]
