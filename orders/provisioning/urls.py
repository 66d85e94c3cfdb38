"""Routes of the provisioning API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from fonproxy.api.parsers import OrderJsonParser
from orders.provisioning import credentials, lists, views, webhooks

user = views.ProvisionedUserViewSet
order = views.ProvisionedOrderViewSet
ORDER = "provisioning/orders/<str:externalId>"

USER = "provisioning/users/<str:externalId>"
WEBHOOK = "provisioning/webhooks/<str:id>"

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("provisioning/webhooks", webhooks.WebhookViewSet, basename="webhook")

urlpatterns = [
    *router.urls,
    path("provisioning/users", lists.UserListViewSet.as_view({"get": "list"})),
    path("provisioning/orders", lists.OrderListViewSet.as_view({"get": "list"})),
    path(USER, user.as_view({"put": "replace", "get": "retrieve", "delete": "erase"})),
    path(f"{USER}/api-keys", credentials.CustomerKeyViewSet.as_view({"post": "create"})),
    path(f"{USER}/password-link", credentials.PasswordLinkViewSet.as_view({"post": "create"})),
    path(ORDER, order.as_view({"put": "replace", "get": "retrieve"}, parser_classes=[OrderJsonParser])),
    path(f"{ORDER}/top-ups", order.as_view({"post": "top_up"})),
    path(f"{ORDER}/refunds", order.as_view({"post": "refund"})),
    path(f"{ORDER}/adjustments", order.as_view({"post": "adjust"})),
    path(f"{ORDER}/renewals", order.as_view({"post": "renew"})),
    path(f"{ORDER}/suspend", order.as_view({"post": "suspend"})),
    path(f"{ORDER}/resume", order.as_view({"post": "resume"})),
    path(f"{ORDER}/expire", order.as_view({"post": "expire"})),
    path(f"{WEBHOOK}/test", webhooks.WebhookViewSet.as_view({"post": "test"})),
    path(f"{WEBHOOK}/deliveries", webhooks.EventDeliveryViewSet.as_view({"get": "list"})),
    path(f"{WEBHOOK}/deliveries/<str:deliveryId>/resend", webhooks.EventDeliveryViewSet.as_view({"post": "resend"})),
    path("provisioning/exhausted", views.FeedViewSet.as_view({"get": "list"})),
]
