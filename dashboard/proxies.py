"""How many proxies there are in which country, for anybody; the numbers come from the public API."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from fonproxy.pages import Page
from geo import services
from geo.loaders import DEFAULT_SERVICES
from orders.models import ProxyType

# A type that is new or gone may be a minute late; the numbers are asked for each time.
SECONDS: Final = 60
NAMES: Final = {
    ProxyType.RESIDENTIAL_GIGA: _("Residential"),
    ProxyType.MOBILE_GIGA: _("Mobile"),
    ProxyType.DATACENTER_GIGA: _("Datacenter"),
    ProxyType.SERVER_STATIC: _("Static servers"),
    ProxyType.PRIVATE_PROXY: _("Private"),
    ProxyType.SHARED_PROXY: _("Shared"),
}


class ProxiesPage(Page, TemplateView):
    template_name = "dashboard/proxies.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().get(request, *args, **kwargs)
        if not request.user.is_authenticated:  # else it has their navigation
            patch_cache_control(response, public=True, max_age=SECONDS)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        known = services.public_counts(timezone.now())
        types = [(kind.value, NAMES[kind], DEFAULT_SERVICES[kind]) for kind in ProxyType if kind in known]
        return super().get_context_data(types=types, **kwargs)
