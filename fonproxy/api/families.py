"""The published API families: which paths each serves and how it writes an error.

A client of one family gets all errors in the shape it knows: for a bad parameter, a missing route, a throttle or an
unavailable engine. The app that serves a family registers it in its ``apps.py``; every other path has
the shape of FonProxy's own APIs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from corsheaders.signals import check_request_enabled
from django.http import HttpRequest

from fonproxy.api.errors import FieldError


@dataclass(frozen=True, slots=True)
class Problem:
    """An error before it is rendered in a family's shape."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...]
    path: str
    at: datetime


ErrorShape = Callable[[Problem], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Family:
    """A published API. ``paths`` are prefixes of its routes.

    ``aliases`` matches routes that repeat others, which the OpenAPI description leaves out. ``any_origin`` lets every
    web page call it (CORS).
    """

    name: str
    paths: tuple[str, ...]
    shape: ErrorShape
    aliases: re.Pattern[str] | None = None
    any_origin: bool = False


def fonproxy_error(problem: Problem) -> dict[str, Any]:
    """The shape of FonProxy's own APIs."""
    return {
        "message": problem.code,
        "detail": problem.detail,
        "path": problem.path,
        "timestamp": problem.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "errors": listed(problem.errors),
    }


def listed(errors: Sequence[FieldError]) -> list[dict[str, Any]]:
    """Field errors as objects with ``field``, ``index`` (only for rows) and ``message``."""
    return [{"field": e.field, **({} if e.index is None else {"index": e.index}), "message": e.message} for e in errors]


def in_one_line(problem: Problem) -> str:
    """The message and its field errors as one line."""
    places = (e.field if e.index is None else f"row {e.index}, {e.field}" for e in problem.errors)
    details = "; ".join(f"{place}: {e.message}" for place, e in zip(places, problem.errors, strict=True))
    return f"{problem.detail} {details}".strip()


_families: Final[list[Family]] = []
_SLASHES: Final = re.compile("//+")


def register(family: Family) -> None:
    if family not in _families:
        _families.append(family)


def _of(path: str) -> Iterator[Family]:
    return (family for family in _families if path.startswith(family.paths))


def without_extra_slashes(path: str) -> str:
    """A published path as its route is written, however a client joined it to a base URL; other paths unchanged."""
    route = _SLASHES.sub("/", path).removesuffix("/")
    return route if any(_of(route)) else path


def shape_for(path: str) -> ErrorShape:
    """The error shape of the family that serves this path."""
    return next((family.shape for family in _of(path)), fonproxy_error)


def is_alias(path: str) -> bool:
    """Whether the route is an alias of another one, which is documented instead."""
    return any(family.aliases and family.aliases.match(path) for family in _of(path))


def allows_any_origin(path: str) -> bool:
    """Whether every web page may call this path."""
    return any(family.any_origin for family in _of(path))


def _allows_any_origin(request: HttpRequest, **_: Any) -> bool:
    return allows_any_origin(request.path_info)


check_request_enabled.connect(_allows_any_origin, dispatch_uid="fonproxy.api.families")
