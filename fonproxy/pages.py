"""What every HTML page shares: its errors look like pages, and a store that is away is said on one."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.generic.base import ContextMixin, View

from fonproxy.api.handler import RETRY_AFTER_SECONDS, status_of
from fonproxy.logs import request_id

PATHS: Final = ("/dashboard", "/sign-in", "/sign-out", "/password-reset", "/proxies", "/alerts/unsubscribe")
TITLES: Final = {
    400: _("That request cannot be read"),
    403: _("You may not do that"),
    404: _("There is nothing here"),
    500: _("Something went wrong on our side"),
    503: _("A part of the service is away"),
}
ADVICE: Final = {
    400: _("Go back and try again."),
    403: _("Sign in as somebody who may, or go back and reload the page before you send its form again."),
    404: _("The address may be cut off, or what it named is gone."),
    500: _("It has been noted. The request id below names it in our logs."),
    503: _("Nothing is lost. Try again in a few seconds."),
}


def is_page(path: str) -> bool:
    """Whether a person looks at what is under this path, so that its errors are pages too."""
    return path == "/" or path.startswith(PATHS)


def error_page(request: HttpRequest, status: int) -> HttpResponse:
    context = {"status": status, "request_id": request_id.get(), "title": TITLES[status], "advice": ADVICE[status]}
    response = render(request, "error.html", context, status=status)
    if status == 503:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


class Page(ContextMixin, View):
    """The first base of a page's view: what is away or not there becomes a page that says so.

    Also while the template is filled, and for what the services of the APIs raise.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if str(request.method).lower() not in self.http_method_names:
            return self.http_method_not_allowed(request)  # before anything Django's own views do in their dispatch
        try:
            response = super().dispatch(request, *args, **kwargs)
            render_now = getattr(response, "render", None)
            response = render_now() if render_now else response
            response.headers.setdefault("Cache-Control", "private, no-store")
            return response
        except Exception as problem:
            status = status_of(problem)
            if status not in (404, 503):
                raise
            return error_page(request, status)
