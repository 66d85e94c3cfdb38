"""The published API families and the shape each gives its errors.

A client written for one family finds the errors it knows, whatever went wrong: a bad parameter, a missing route,
a throttle or an engine that is away. The family of a response follows from its path.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fonproxy.api.errors import FieldError
from fonproxy.logs import request_id


@dataclass(frozen=True, slots=True)
class Problem:
    """An error before it has a shape."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...]
    path: str
    at: datetime


def fonproxy(problem: Problem) -> dict[str, Any]:
    return {
        "message": problem.code,
        "detail": problem.detail,
        "path": problem.path,
        "timestamp": problem.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "errors": _listed(problem.errors),
    }


WEPROXIES_CODES: Final = {
    400: "validation_error",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "service_unavailable",
}


def weproxies(problem: Problem) -> dict[str, Any]:
    details: dict[str, list[str]] = {}
    for error in problem.errors:
        details.setdefault(error.field, []).append(error.message)
    code = WEPROXIES_CODES.get(problem.status, "error")
    return {"success": False, "error": {"code": code, "message": problem.detail, "details": details}}


# Newer Pythons know newer names for these; clients compare with the ones they were written for.
BYTEFUL_PHRASES: Final = {413: "Request Entity Too Large", 422: "Unprocessable Entity"}


def byteful(problem: Problem) -> dict[str, Any]:
    """Where rows are at fault, ``errors`` lists them: our addition to a shape that has no room for them."""
    errors = _listed(problem.errors)
    return {
        "error": BYTEFUL_PHRASES.get(problem.status) or HTTPStatus(problem.status).phrase,
        "message": f"{problem.detail} {_in_one_line(problem.errors)}".strip(),
        "api_request_id": _as_uuid(request_id.get()),
        **({"errors": errors} if any("index" in error for error in errors) else {}),
    }


def _in_one_line(errors: Sequence[FieldError]) -> str:
    places = (e.field if e.index is None else f"row {e.index}, {e.field}" for e in errors)
    return "; ".join(f"{place}: {e.message}" for place, e in zip(places, errors, strict=True))


def _listed(errors: Sequence[FieldError]) -> list[dict[str, Any]]:
    return [{"field": e.field, **({} if e.index is None else {"index": e.index}), "message": e.message} for e in errors]


def _as_uuid(text: str) -> str:
    """The request id when it is a UUID, else the UUID that always stands for it."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def apinalytics(problem: Problem) -> dict[str, Any]:
    return {"error": f"{problem.detail} {_in_one_line(problem.errors)}".strip()}


# Its routes hang at both places.
BYTEFUL_PREFIXES: Final = ("", "1.0/public/user/")
BYTEFUL_PATHS: Final = (
    "/1.0/public/user/",
    "/log/",
    "/log_summary/",
    "/residential/",
    "/residential_ledger/",
    "/mobile/",
    "/mobile_ledger/",
    "/analytics/graph",
    "/analytics/breakdown",
)


def shape_for(path: str) -> Callable[[Problem], dict[str, Any]]:
    """The error shape of the family that this path belongs to."""
    if path.startswith("/api/v1/"):
        return weproxies
    if path.startswith("/1/"):
        return apinalytics
    if path.startswith(BYTEFUL_PATHS):
        return byteful
    return fonproxy
