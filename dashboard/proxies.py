"""Available proxies by country, public; the numbers come from the public API."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from dashboard.pages import ReaderPage
from fonproxy.countries import name_of
from geo import services
from geo.loaders import DEFAULT_SERVICES
from geo.loaders.base import Counts
from orders.models import ProxyType

# New or removed types may appear a minute late; the numbers are always current.
SECONDS: Final = 60
NAMES: Final = {
    ProxyType.RESIDENTIAL_GIGA: _("Residential"),
    ProxyType.MOBILE_GIGA: _("Mobile"),
    ProxyType.DATACENTER_GIGA: _("Datacenter"),
    ProxyType.SERVER_STATIC: _("Static servers"),
    ProxyType.PRIVATE_PROXY: _("Private"),
    ProxyType.SHARED_PROXY: _("Shared"),
}


class ProxiesPage(ReaderPage, TemplateView):
    template_name = "dashboard/proxies.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().get(request, *args, **kwargs)
        if not request.user.is_authenticated:  # signed-in users get their navigation
            patch_cache_control(response, public=True, max_age=SECONDS)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        known = services.public_counts(timezone.now())
        types = [(kind.value, NAMES[kind], DEFAULT_SERVICES[kind]) for kind in ProxyType if kind in known]
        asked = self.request.GET.get("type")
        chosen = asked if asked in known else types[0][0] if types else ""
        return super().get_context_data(types=types, chosen=chosen, rows=table(known, chosen), **kwargs)


def table(counts: dict[str, Counts], proxy_type: str) -> list[tuple[str, int]]:
    """Countries and counts of the type's default pool and service, largest first, for browsers without JavaScript."""
    pools = services.default_service_only(counts).get(proxy_type, {})
    found = pools.get("default") or next(iter(pools.values()), {})
    rows = [(name_of(code), count) for code, count in found.items() if count]
    return sorted(rows, key=lambda row: (-row[1], row[0]))
