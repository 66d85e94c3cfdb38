"""Routes of the provisioning API."""

from __future__ import annotations

from django.urls import path

from usage.provisioning import views

order = views.OrderViewSet
ORDER = "provisioning/orders/<str:externalId>"

urlpatterns = [
    path("provisioning/users/<str:externalId>", views.UserViewSet.as_view({"put": "replace", "delete": "erase"})),
    path(ORDER, order.as_view({"put": "replace", "get": "retrieve"})),
    path(f"{ORDER}/top-ups", order.as_view({"post": "top_up"})),
    path(f"{ORDER}/refunds", order.as_view({"post": "refund"})),
    path(f"{ORDER}/adjustments", order.as_view({"post": "adjust"})),
    path(f"{ORDER}/renewals", order.as_view({"post": "renew"})),
    path(f"{ORDER}/suspend", order.as_view({"post": "suspend"})),
    path(f"{ORDER}/resume", order.as_view({"post": "resume"})),
    path(f"{ORDER}/expire", order.as_view({"post": "expire"})),
    path("provisioning/exhausted", views.FeedViewSet.as_view({"get": "list"})),
]
