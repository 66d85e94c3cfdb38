"""Base class of HTML pages, and the error page. Apps register the paths of their pages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.generic.base import ContextMixin, View
from redis.exceptions import RedisError

from fonproxy.api.handler import RETRY_AFTER_SECONDS, status_of
from fonproxy.api.throttles import AddressThrottle, PublicThrottle
from fonproxy.logs import request_id

TITLES: Final = {
    400: _("Bad request"),
    403: _("Access denied"),
    404: _("Page not found"),
    429: _("Too many requests"),
    500: _("Something went wrong"),
    503: _("Temporarily unavailable"),
}
ADVICE: Final = {
    400: _("Go back, reload the page and try again."),
    403: _(
        "Sign in with an account that has access. After submitting a form: go back, reload the page, submit it again."
    ),
    404: _("Check the address. The page may have been moved or deleted."),
    429: _("Wait a moment, then try again."),
    500: _("The error has been logged. Try again; if it persists, contact us with the request ID below."),
    503: _("No data is lost. Try again in a few seconds."),
}


_paths: Final[set[str]] = set()


def register(*paths: str) -> None:
    """Registers path prefixes whose errors are shown as pages."""
    _paths.update(paths)


def is_page(path: str) -> bool:
    """Whether an error of this path is shown as a page rather than as JSON."""
    return path == "/" or path.startswith(tuple(_paths))


def error_page(request: HttpRequest, status: int, advice: str | Promise = "") -> HttpResponse:
    """The error page of this status; ``advice`` replaces its usual advice."""
    context = {
        "status": status,
        "request_id": request_id.get(),
        "title": TITLES[status],
        "advice": advice or ADVICE[status],
    }
    response = render(request, "error.html", context, status=status)
    if status == 503:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


class Page(ContextMixin, View):
    """The first base class of a page's view: errors 404 and 503 become error pages.

    This includes errors raised while the template is rendered. Pages are throttled like the APIs.
    """

    http_method_names = ["get", "head"]
    page_throttle: ClassVar[type[AddressThrottle]] = PublicThrottle

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if str(request.method).lower() not in self.http_method_names:
            return self.http_method_not_allowed(request)  # before Django's own views do any work in dispatch
        try:
            response = self._throttled(request) or super().dispatch(request, *args, **kwargs)
            render_now = getattr(response, "render", None)
            response = render_now() if render_now else response
            response.headers.setdefault("Cache-Control", "private, no-store")
            return response
        except Exception as problem:
            status = status_of(problem)
            if status not in (404, 503):
                raise
            return error_page(request, status)

    def _throttled(self, request: HttpRequest) -> HttpResponse | None:
        """The 429 response for a caller who requests too many pages; None while the counting cache is unavailable."""
        throttle = self.page_throttle()
        try:
            if throttle.allow_request(request, self):  # type: ignore[arg-type]  # uses only what any request has
                return None
        except RedisError:
            return None
        response = error_page(request, 429)
        response["Retry-After"] = str(math.ceil(throttle.wait() or 1))
        return response


class NotFoundPage:
    """Answers a browser's GET with an error page where an API answers 404 in JSON. Other clients get the JSON."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_json = response.get("Content-Type", "").startswith("application/json")
        if response.status_code != 404 or request.method not in ("GET", "HEAD") or not is_json:
            return response
        if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
            response = error_page(request, 404)
        patch_vary_headers(response, ["Accept"])
        return response
