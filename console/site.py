"""The admin site with the console's own pages and its navigation by task."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from console import navigation
from fonproxy.formats import DEFAULT

View = TypeVar("View", bound=Callable[..., Any])


class ConsoleSite(AdminSite):
    """Writes numbers and dates as the member of staff has chosen; times stay in UTC."""

    site_header = site_title = "FonProxy"
    index_title = _("Home")

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Imported here, because models are loaded after the site.
        from console import customer_views, evidence_views, outlook_views, usage_views, views

        modules = (views, customer_views, evidence_views, outlook_views, usage_views)
        pages = [
            path(route, self.admin_view(view), name=f"console_{name}")
            for module in modules
            for route, name, view in module.PAGES
        ]
        return [*pages, *super().get_urls()]

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def in_own_format(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            # Without a sign-in there is only the redirect to it.
            with translation.override(getattr(request.user, "language", DEFAULT)):
                response: HttpResponseBase = inner(request, *args, **kwargs)
                render_now = getattr(response, "render", None)
                return render_now() if render_now else response

        return cast(View, in_own_format)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        pages = [
            (page, reverse(f"admin:{page.url_name}"))
            for page in navigation.PAGES
            if request.user.has_perms(page.permissions)
        ]
        return navigation.by_task(apps, pages)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from console import status_checks  # as in get_urls

        now = timezone.now()
        panels = status_checks.panels(request.user, now)
        context = {"panels": panels, "verdict": status_checks.verdict(panels, now), **(extra_context or {})}
        return super().index(request, context)
