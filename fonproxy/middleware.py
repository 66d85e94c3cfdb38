"""Middleware: request id and access log, cookies without NUL, security headers."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable
from time import perf_counter
from typing import Final

from django.http import HttpRequest, HttpResponse

from fonproxy import instruments
from fonproxy.logs import query_ids, request_id, without_secrets

SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
PERMISSIONS: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
# The environ key under which the server finds the account of the request's credential.
CALLER: Final = "fonproxy.caller"
QUIET: Final = ("/healthz", "/readyz", "/static/")

access_log = logging.getLogger("fonproxy.access")


class RequestLog:
    """Sets the request id (the caller's ``X-Request-Id`` if it is valid) and writes the access log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = request_id.set(new_request_id(request.headers.get("X-Request-Id", "")))
        queries = query_ids.set([])
        started = perf_counter()
        try:
            response = self.get_response(request)
            response["X-Request-Id"] = request_id.get()
            _name_caller(request)
            seconds = perf_counter() - started
            match = request.resolver_match
            count_response(
                request.method or "", str(match.route) if match else "unknown", response.status_code, seconds
            )
            if not request.path.startswith(QUIET):
                log_response(
                    request.method,
                    _loggable_path(request),
                    response.status_code,
                    seconds,
                    getattr(request, "account_id", None),
                )
            return response
        finally:
            query_ids.reset(queries)
            request_id.reset(token)


def log_response(method: str | None, path: str, status: int, seconds: float | None, account_id: int | None) -> None:
    """Writes the access log's line, without the query string, which may contain private data."""
    access_log.info(
        "%s %s %s",
        method,
        path,
        status,
        extra={
            "ms": None if seconds is None else round(seconds * 1000, 1),
            "account": account_id,
            **({"query_ids": asked} if (asked := query_ids.get()) else {}),
        },
    )


def count_response(method: str, route: str, status: int, seconds: float) -> None:
    """Counts by route, not by path, so that callers cannot create time series."""
    known = method if method in METHODS else "other"
    instruments.HTTP_SECONDS.labels(known, route, status).observe(seconds)


def new_request_id(given: str) -> str:
    """The caller's id if it is valid, otherwise a new one."""
    return given if SANE_ID.fullmatch(given) else str(uuid.uuid4())


def _name_caller(request: HttpRequest) -> None:
    """The user of the key or token, set by the authenticators, or of the session, if it was looked up."""
    signed_in = getattr(request, "_cached_user", None)
    number = getattr(request, "caller_id", None) or getattr(signed_in, "pk", None)
    if number is not None:
        request.META[CALLER] = number


def _loggable_path(request: HttpRequest) -> str:
    """The path, or its route if the path contains a token, such as that of a password-reset link."""
    match = request.resolver_match
    if match is None:
        return without_secrets(request.path)
    return f"/{match.route}" if "token" in match.kwargs else request.path


class StorableCookies:
    """Drops cookies with NUL, which PostgreSQL refuses even in a query."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        for name in [name for name, value in request.COOKIES.items() if "\0" in value]:
            del request.COOKIES[name]
        return self.get_response(request)


class SecureHeaders:
    """Adds headers that Django's middlewares do not set: no device for our pages, no caching for an authenticated
    caller and of errors.

    Caches know that a response to ``Authorization`` is private; they do not know ``x-api-key`` and similar headers.
    They may keep errors such as 404 and 405, and would answer others with an error that one caller provoked.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        if getattr(request, "account_id", None) is not None or response.status_code >= 400:
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response
