"""Django's error views: a page below the paths of pages, Django's own below /admin/, else the family's JSON.

Browsers get a page for every 404 (``fonproxy.pages.NotFoundPage``).
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views import csrf, defaults

from fonproxy.api.handler import plain_response
from fonproxy.pages import error_page, is_page


def _answer(request: HttpRequest, status: int) -> HttpResponse:
    return error_page(request, status) if is_page(request.path) else plain_response(request, status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/admin/"):
        return defaults.permission_denied(request, exception)
    return _answer(request, 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if request.path.startswith("/admin/"):
        return csrf.csrf_failure(request, reason)
    return _answer(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/admin/"):
        return defaults.server_error(request)
    return _answer(request, 500)
