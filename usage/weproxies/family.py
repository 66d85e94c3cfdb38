"""The family of WeProxies' usage API: its path and errors."""

from __future__ import annotations

from typing import Any, Final

from fonproxy.api.families import Family, Problem

CODES: Final = {
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


def error(problem: Problem) -> dict[str, Any]:
    details: dict[str, list[str]] = {}
    for each in problem.errors:
        details.setdefault(each.field, []).append(each.message)
    code = CODES.get(problem.status, "error")
    return {"success": False, "error": {"code": code, "message": problem.detail, "details": details}}


WEPROXIES: Final = Family("weproxies", ("/api/v1/",), error)
