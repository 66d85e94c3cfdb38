"""Routes of orders: their owners' list, provisioning, and Byteful's ledgers and summaries."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from orders.byteful.family import routes
from orders.views import OrderViewSet, ProxyUserViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("orders", OrderViewSet, basename="order")
router.register("proxy-users", ProxyUserViewSet, basename="proxy-user")

urlpatterns = [
    *router.urls,
    path("", include("orders.provisioning.urls")),
    path("", include("orders.gateway.urls")),
    *routes("orders.byteful.urls"),
]
