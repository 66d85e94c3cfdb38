"""The customer as a column and as a filter, for lists of what belongs to orders."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from accounts.models import User
from fonproxy.numbers import WHOLE_NUMBER


class OfCustomerMixin:
    """A column ``user`` that links to the customer's page; ``list_select_related`` needs ``order__user``."""

    @admin.display(ordering="order__user__username")
    def user(self, row: Any) -> str:
        url = reverse("admin:console_customer", args=[row.order.user_id])
        return format_html('<a href="{}">{}</a>', url, row.order.user)


class CustomerFilter(admin.SimpleListFilter):
    """Offers only the customer that a link names: a list of all of them would be too long."""

    title = gettext_lazy("customer")
    parameter_name = "customer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        number = self.value()
        if number is None:
            return []
        user = User.objects.filter(pk=self._number(number)).first()
        is_named = user is not None and request.user.has_perm("accounts.view_user")
        return [(number, str(user) if is_named else number)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        number = self.value()
        return queryset if number is None else queryset.filter(order__user=self._number(number))

    @staticmethod
    def _number(text: str) -> int:
        """0, which no user has, for anything but a number."""
        return int(text) if WHOLE_NUMBER.fullmatch(text) else 0
