"""Routes for proxy servers that authenticate logins."""

from __future__ import annotations

from django.urls import path

from orders.gateway.views import LoginViewSet, SignInViewSet

urlpatterns = [
    path("gateway/authorize", SignInViewSet.as_view({"post": "authorize"})),
    path("gateway/logins", LoginViewSet.as_view({"get": "list"})),
    path("gateway/radius/authorize", SignInViewSet.as_view({"post": "radius"})),
    path("gateway/gost/auth", SignInViewSet.as_view({"post": "gost"})),
]
