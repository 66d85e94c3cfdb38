"""Converts parameters to the engine's text, and its JSON to Python values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from fonproxy.clickhouse.errors import EngineFault

# The engine parses a bound string as a field of a tab-separated file, where these characters are special.
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "'": "\\'"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Value = str | int | float | bool | datetime | date | Sequence[str] | Sequence[int] | None
"""A query parameter. Datetimes are aware; whole seconds for ``DateTime``, up to microseconds for ``DateTime64``."""

Convert = Callable[[Any], Any]


def parameter(value: Value) -> str:
    """One bound value as text. Raises ValueError for a naive datetime."""
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, Sequence):
        return f"[{','.join(_element(item) for item in value)}]"
    return _scalar(value)


def _element(value: str | int) -> str:
    return f"'{value.translate(_ESCAPES)}'" if isinstance(value, str) else _scalar(value)


def _scalar(value: float | bool | date) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"A datetime without a time zone cannot be bound: {value!r}.")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    return value.isoformat() if isinstance(value, date) else repr(value)


class _Column(msgspec.Struct):
    name: str
    type: str


class _JsonResult(msgspec.Struct):
    meta: list[_Column]
    data: list[tuple[Any, ...]]


_decoder: Final = msgspec.json.Decoder(_JsonResult)


def rows(answer: bytes) -> list[tuple[Any, ...]]:
    """The rows of a JSONCompact result, with Python types by column."""
    decoded = _decoder.decode(answer)
    converts = [converter(column.type) for column in decoded.meta]
    if not any(converts):
        return decoded.data
    return [
        tuple(value if convert is None else convert(value) for value, convert in zip(row, converts, strict=True))
        for row in decoded.data
    ]


# A wrapped type, such as the String of LowCardinality(String).
WRAPPED: Final = re.compile(r"(?:LowCardinality|Nullable|SimpleAggregateFunction)\((?:\w+, )?(.+)\)")
_MOMENT: Final = re.compile(r"DateTime(?:64)?\((?:\d+, )?'([^']+)'\)")
_AS_DECODED: Final = re.compile(r"U?Int(8|16|32|64)|String|Bool|Nothing|FixedString\(\d+\)|Enum\d+\(.+\)")
_BY_NAME: Final[dict[str, Convert]] = {
    "Float32": float,
    "Float64": float,
    "Int128": int,
    "UInt128": int,
    "Int256": int,
    "UInt256": int,
    "Date": date.fromisoformat,
    "Date32": date.fromisoformat,
    "UUID": UUID,
    "IPv4": IPv4Address,
    "IPv6": IPv6Address,
}


@lru_cache(maxsize=256)
def converter(type_: str) -> Convert | None:
    """A function that converts a decoded value of this ClickHouse type to Python's; None if none is needed."""
    if wrapped := WRAPPED.fullmatch(type_):
        inner = converter(wrapped[1])
        return _unless_null(inner) if inner else None
    if _AS_DECODED.fullmatch(type_):
        return None
    if type_.startswith("Array("):
        inner = converter(type_.removeprefix("Array(").removesuffix(")"))
        return (lambda items: [inner(item) for item in items]) if inner else None
    if moment := _MOMENT.fullmatch(type_):
        return _moment_in(moment[1])
    if type_ not in _BY_NAME:
        raise EngineFault(f"A column of type {type_} cannot be read; a time needs its zone, as in DateTime('UTC').")
    return _BY_NAME[type_]


def zone_of(type_: str) -> tzinfo | None:
    """The time zone of the times in a column of this type, None if it has no times."""
    found = _MOMENT.search(type_)
    return None if found is None else UTC if found[1] == "UTC" else ZoneInfo(found[1])


def _unless_null(inner: Convert) -> Convert:
    return lambda value: None if value is None else inner(value)


def _moment_in(zone: str) -> Convert:
    """Seconds since 1970, as text with or without a fraction, which unlike local time is never ambiguous."""
    tz = UTC if zone == "UTC" else ZoneInfo(zone)

    def convert(text: str) -> datetime:
        seconds, _, fraction = text.partition(".")
        # In this form the sign of a time before 1970 applies to its fraction too.
        return (_EPOCH + timedelta(microseconds=int(seconds + fraction[:6].ljust(6, "0")))).astimezone(tz)

    return convert
