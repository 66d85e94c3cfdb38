"""Decoding errors of ingested rows as field errors for the caller."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from analytics.ingest.schema import UNKNOWN_TIME
from fonproxy.api.errors import FieldError

MAX_NAMED_ROWS: Final = 100

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_MISSING_FIELD: Final = re.compile(r"Object missing required field `(\w+)`")

T = TypeVar("T")


def row_or_fault(decode: Callable[[msgspec.Raw], T], index: int, raw: msgspec.Raw) -> T | FieldError:
    """The decoded row, or its decoding error."""
    try:
        return decode(raw)
    except msgspec.ValidationError as fault:
        return named(fault, index)
    except RecursionError:
        return FieldError("row", "Is nested too deeply.", index)
    except (msgspec.DecodeError, UnicodeDecodeError):  # the syntax has already been checked
        return FieldError("row", "Contains text that is not valid Unicode.", index)


def named(fault: msgspec.ValidationError, index: int | None = None) -> FieldError:
    """The decoder's error as field and message."""
    reason, _, place = str(fault).partition(" - at ")
    if missing := _MISSING_FIELD.fullmatch(reason):
        return FieldError(missing[1], "Is required.", index)
    field = place.strip("`").removeprefix("$").removeprefix(".") or ("body" if index is None else "row")
    if reason == UNKNOWN_TIME:
        reason = "Must be a time as YYYY-MM-DD HH:MM:SS or ISO 8601"
    return FieldError(field, f"{reason.replace('`', '')}.", index)


def in_words(fault: Exception, body: bytes) -> str:
    """Why a body is not JSON, as part of a sentence."""
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    if isinstance(fault, UnicodeDecodeError):
        return "it is not valid UTF-8"
    if _SURROGATE.search(body):  # msgspec reports a lone surrogate as truncated input
        return "it is truncated, or half of a surrogate pair is missing"
    return str(fault)
