"""Turns exceptions into responses in the shape of the path's family, without internal details."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from fonproxy.api.errors import ApiProblem, FieldError, RetryLater, UnsupportedEncoding
from fonproxy.api.families import Problem, shape_for
from fonproxy.api.renderers import JsonRenderer
from fonproxy.clickhouse.errors import EngineUnavailable, QueryTooHeavy

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 5
MAX_FIELD_ERRORS: Final = 100
CODES: Final = {
    400: "request.invalid",
    401: "auth.not_authenticated",
    403: "auth.forbidden",
    404: "request.not_found",
    405: "request.method_not_allowed",
    413: "request.too_large",
    415: "request.unsupported_media_type",
    429: "request.throttled",
    500: "service.internal_error",
    503: "service.unavailable",
}
SENTENCES: Final = {
    403: "These credentials do not allow this.",
    404: "Not found.",
    500: "Internal error. It has been logged with the request id.",
    503: "A database is temporarily unavailable. Retry shortly.",
}


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Django REST framework's hook: a response for expected errors, None (a logged 500) for others."""
    headers = _headers(exc)
    problem = _problem(exc, context["request"].path)
    if problem is None:
        return None
    set_rollback()
    return Response(shape_for(problem.path)(problem), status=problem.status, headers=headers)


def _problem(exc: Exception, path: str) -> Problem | None:
    now = timezone.now()
    if isinstance(exc, ApiProblem):
        return Problem(exc.status_code, exc.stable_code, str(exc.detail), exc.errors, path, now)
    if isinstance(exc, exceptions.ValidationError):
        errors = tuple(_field_errors(exc.detail)[:MAX_FIELD_ERRORS])
        return Problem(400, CODES[400], "The request has fields that are not as documented.", errors, path, now)
    status = status_of(exc)
    if status is None:
        return None
    return Problem(status, CODES.get(status, "request.refused"), _sentence(exc, status), (), path, now)


def _sentence(exc: Exception, status: int) -> str:
    if isinstance(exc, exceptions.APIException) and status not in SENTENCES:
        return str(exc.detail)
    return SENTENCES[status]


def status_of(exc: Exception) -> int | None:
    """The status of an expected error, None for any other."""
    match exc:
        case exceptions.APIException():
            return exc.status_code
        case Http404():
            return 404
        case PermissionDenied():
            return 403
        case EngineUnavailable() | QueryTooHeavy() | OperationalError() | InterfaceError() | RedisError():
            log.warning("a database is unavailable: %s", exc)
            return 503
        case _:
            return None


def _headers(exc: Exception) -> dict[str, str]:
    if isinstance(exc, RetryLater):
        return {"Retry-After": str(exc.wait)}
    if isinstance(exc, UnsupportedEncoding):
        return {"Accept-Encoding": "gzip"}
    if isinstance(exc, exceptions.Throttled):
        return {"Retry-After": str(math.ceil(getattr(exc, "wait", None) or RETRY_AFTER_SECONDS))}
    if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        header: str | None = getattr(exc, "auth_header", None)
        return {"WWW-Authenticate": header} if header else {}
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status_of(exc) == 503 else {}


def _field_errors(detail: Any, field: str = "", index: int | None = None) -> list[FieldError]:
    """A serializer's nested errors as a flat list; positions of rows become ``index``."""
    match detail:
        case dict():
            pairs = detail.items()
        case list() if detail and isinstance(detail[0], dict | list):
            return [e for i, part in enumerate(detail) for e in _field_errors(part, field, i)]
        case list():
            return [FieldError(field or "body", _encodable(message), index) for message in detail]
        case _:
            return [FieldError(field or "body", _encodable(detail), index)]
    found: list[FieldError] = []
    for name, part in pairs:
        own = "" if name == "non_field_errors" else str(name)
        found += _field_errors(part, ".".join(filter(None, (field, own))), index)
    return found


def _encodable(message: Any) -> str:
    """The message without unpaired surrogates, which it may repeat from the request."""
    return str(message).encode("utf-8", "replace").decode()


def plain_response(request: HttpRequest, status: int) -> HttpResponse:
    """An error outside Django REST framework, in the shape of the path's family."""
    sentence = SENTENCES.get(status, "The request is malformed.")
    problem = Problem(status, CODES[status], sentence, (), request.path, timezone.now())
    body = JsonRenderer().render(shape_for(request.path)(problem))
    return HttpResponse(body, status=status, content_type="application/json")
