"""Searching single requests of the last days; the address holds what is asked."""

from __future__ import annotations

from typing import Any, Final

from accounts.models import ProxyUser
from fonproxy.countries import CODES, name_of
from usage.dashboard.error_help import HELP
from usage.dashboard.pages import MOST_CHOICES, OrdersPage

METHODS: Final = ("CONNECT", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
COUNTRIES: Final = sorted(((code, name_of(code)) for code in CODES), key=lambda country: country[1])


class LogsPage(OrdersPage):
    template_name = "dashboard/logs.html"
    extra_context = {"methods": METHODS, "countries": COUNTRIES, "error_help": HELP}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        logins = ProxyUser.objects.filter(order__user=self.customer).order_by("login").values_list("login", flat=True)
        return super().get_context_data(logins=logins[:MOST_CHOICES], **kwargs)
