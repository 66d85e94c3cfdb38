"""Routes of the usage API."""

from __future__ import annotations

from django.urls import path

from usage.v1 import views

urlpatterns = [
    path("api/v1/me", views.MeViewSet.as_view({"get": "retrieve"})),
    path("api/v1/subscriptions", views.SubscriptionViewSet.as_view({"get": "list"})),
    path("api/v1/subscriptions/<str:id>", views.SubscriptionViewSet.as_view({"get": "retrieve"})),
    path("api/v1/subscriptions/<str:id>/usage", views.UsageViewSet.as_view({"get": "of_subscription"})),
    path("api/v1/usage", views.UsageViewSet.as_view({"get": "summary"})),
    path("api/v1/usage/history", views.HistoryViewSet.as_view({"get": "history"})),
    path("api/v1/usage/realtime", views.UsageViewSet.as_view({"get": "realtime"})),
    path("api/v1/usage/by-country", views.CountryViewSet.as_view({"get": "by_country"})),
]
