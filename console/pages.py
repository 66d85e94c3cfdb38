"""Helpers of the console's own pages."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy

NO_ENGINE: Final = gettext_lazy("ClickHouse is unavailable: try again later.")


def page(request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(
        request, f"admin/console/{template}.html", {**admin.site.each_context(request), "title": title, **context}
    )


def require(request: HttpRequest, *permissions: str) -> None:
    """Raises PermissionDenied."""
    if not request.user.has_perms(permissions):
        raise PermissionDenied
