"""How to connect to the proxies: endpoint, connection strings and programs for one of the customer's logins."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils.functional import cached_property
from django.views.generic import TemplateView
from rest_framework.exceptions import NotFound

from dashboard import samples
from dashboard.pages import MAX_CHOICES, CustomerPage
from orders import selectors
from orders.models import ProxyUser


def endpoint_of(user: ProxyUser) -> str:
    """``host:port`` of the gateway of the login's network, or a placeholder if no setting names it."""
    endpoints: dict[str, str] = settings.PROXY_ENDPOINTS
    return endpoints.get(user.order.product.network) or endpoints.get("*") or samples.NO_ENDPOINT


def context_of(user: ProxyUser) -> dict[str, Any]:
    endpoint = endpoint_of(user)
    return {
        "proxy_user": user,
        "endpoint": None if endpoint == samples.NO_ENDPOINT else endpoint,
        "strings": samples.connection_strings(endpoint, user.login),
        "programs": samples.programs(endpoint, user.login),
        "no_password": samples.NO_PASSWORD,
    }


class ConnectPage(CustomerPage, TemplateView):
    template_name = "dashboard/connect.html"

    @cached_property
    def proxy_user(self) -> ProxyUser | None:
        """The login with the requested id, else the first login of the requested order, or of all orders."""
        users = selectors.proxy_users_of(self.customer.pk)
        try:
            if wanted := self.request.GET.get("id"):
                return selectors.own_proxy_user(self.customer.pk, wanted)
            if order := self.request.GET.get("order"):
                users = users.filter(order=selectors.find_order(self.customer.pk, order))
        except NotFound:
            raise Http404 from None
        return users.first()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        users = selectors.proxy_users_of(self.customer.pk)[:MAX_CHOICES]
        return super().get_context_data(
            proxy_users=users, **(context_of(self.proxy_user) if self.proxy_user else {}), **kwargs
        )
