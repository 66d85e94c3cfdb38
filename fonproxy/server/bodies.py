"""Limits of bodies, applied before they are read, and the memory that the bodies of a lane share.

A small body is accepted from anyone and kept in memory. A larger one needs a route that accepts rows or files, and a
caller who may use it: the route's own authentication and permissions are checked with the head alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from http.cookies import CookieError
from tempfile import SpooledTemporaryFile
from time import monotonic
from typing import IO, Any, Final

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.urls import Resolver404, ResolverMatch, resolve
from rest_framework.exceptions import APIException

from fonproxy.api.body import too_large
from fonproxy.api.parsers import MAX_BYTES as SMALL_BYTES
from fonproxy.server.callers import credentials_of, fingerprint
from fonproxy.server.lanes import Lane
from fonproxy.server.refusals import RequestRefused
from fonproxy.units import MIB
from fonproxy.wsgi import Utf8Request

IN_MEMORY_BYTES: Final = MIB
REMEMBERED_SECONDS: Final = 30.0
REMEMBERED_CALLERS: Final = 10_000


class RequestBody:
    """An incoming body: counted, kept in memory or in an unnamed file; releases its space at the end."""

    def __init__(self, lane: Lane, limit: int) -> None:
        self.size = 0
        self._lane = lane
        self._limit = limit
        self._room = 0
        self.file: IO[bytes] = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115  # closed by `close`

    def add(self, data: bytes) -> None:
        """Raises Refused when the body exceeds its limit, or the lane's space is used up."""
        self.size += len(data)
        self.refuse_beyond_limit(self.size)
        if self.size > SMALL_BYTES:
            self._take_room(self.size - self._room)
        self.file.write(data)

    def refuse_beyond_limit(self, size: int) -> None:
        if size > self._limit:
            raise RequestRefused(413, str(too_large(self._limit).detail))

    def _take_room(self, size: int) -> None:
        if self._lane.buffered + size > self._lane.rules.buffer_bytes:
            raise RequestRefused(503, "Too many large bodies are arriving at once.", wait=5)
        self._lane.buffered += size
        self._room += size

    def close(self) -> None:
        self._lane.buffered -= self._room
        self._room = 0
        self.file.close()


class Gate:
    """Decides who may send a large body.

    Caches the decision for a moment, so that a gateway's next push needs no query.
    """

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    def remembers(self, environ: Mapping[str, Any]) -> bool:
        return self._until.get(_fingerprint(environ), 0) > monotonic()

    def may_send(self, environ: Mapping[str, Any]) -> bool:
        """Checks the route's permissions; runs in a thread."""
        if not _is_let_in(environ):
            return False
        if len(self._until) >= REMEMBERED_CALLERS:
            self._until.clear()
        self._until[_fingerprint(environ)] = monotonic() + REMEMBERED_SECONDS
        return True


def _fingerprint(environ: Mapping[str, Any]) -> bytes:
    return fingerprint((environ["REQUEST_METHOD"], environ["PATH_INFO"], *credentials_of(environ)))


def _is_let_in(environ: Mapping[str, Any]) -> bool:
    request = Utf8Request({**environ, "wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"})
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return False
    for middleware in (SessionMiddleware, AuthenticationMiddleware):
        middleware(lambda _: HttpResponse()).process_request(request)
    if hasattr(match.func, "cls"):
        return _is_let_in_by_view(request, match)
    return bool(request.user.is_active and request.user.is_staff)


def _is_let_in_by_view(request: Any, match: ResolverMatch) -> bool:
    function: Any = match.func
    view = function.cls(**function.initkwargs)
    view.args, view.kwargs = match.args, match.kwargs
    view.action_map = getattr(function, "actions", {})
    if request.method not in view.allowed_methods and request.method.lower() not in view.action_map:
        return False
    view.request = view.initialize_request(request, *match.args, **match.kwargs)
    try:
        view.perform_authentication(view.request)
        view.check_permissions(view.request)
    except (APIException, CookieError):
        return False
    return True
