"""What the customer's pages share: whose they are, and the orders they offer to choose from."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.views.generic import TemplateView

from accounts import selectors, viewing
from accounts.models import User
from fonproxy.pages import Page

MOST_CHOICES = 500


class CustomerPage(LoginRequiredMixin, Page):
    """A page of the signed-in customer, or of the one whom staff look at; anybody else is asked to sign in."""

    http_method_names = ["get", "head"]
    request: HttpRequest

    @cached_property
    def customer(self) -> User:
        assert isinstance(self.request.user, User)  # LoginRequiredMixin
        return viewing.viewed_as(self.request) or self.request.user

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request.account_id = request.user.pk  # type: ignore[attr-defined]  # the access log reads it
        if request.method == "POST" and viewing.viewed_as(request):
            raise PermissionDenied  # who looks as somebody changes nothing as them
        return super().dispatch(request, *args, **kwargs)


class OrdersPage(CustomerPage, TemplateView):
    """A page with a choice of orders; everything else on it comes from the APIs."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        orders = selectors.orders_of(self.customer.pk)[:MOST_CHOICES]
        return super().get_context_data(orders=orders, **kwargs)
