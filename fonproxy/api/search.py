"""The search language of Byteful's API: filters, a sort and a page, all in the query string.

A field is asked for by its name or with a prefix before it: ``min_`` and ``max_`` (both inclusive), ``like_`` (in any
case, ``%`` stands for any text) and ``not_``. ``tz`` is the zone of date-times, in filters and in rows. Pure: the
caller translates the conditions for its store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from fonproxy import countries, hostnames
from fonproxy.api.docs import shape
from fonproxy.api.errors import FieldError, InvalidInput, OutOfRange
from fonproxy.api.params import single_value, without_brackets
from fonproxy.numbers import INTEGER
from fonproxy.timerange import UTC_ZONE, InvalidTime, floor, parse_query_instant, parse_zone

SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
CONTROLS: Final = ("page", "per_page", "sort_by", "tz")
MAX_PER_PAGE: Final = 100
LAST_PAGE: Final = 10**12
MAX_TEXT_LENGTH: Final = 255
WILDCARDS: Final = re.compile("%+")


class Operator(StrEnum):
    """The prefix of a filter."""

    EQUAL = ""
    NOT = "not_"
    MIN = "min_"
    MAX = "max_"
    LIKE = "like_"


# Byteful has this operator; no field here supports it.
EXISTS: Final = "exists_"
PREFIXES: Final = (*(operator.value for operator in Operator if operator), EXISTS)
# Names of the fields of all Byteful searches: common prefixes, and other names.
NOUNS: Final = ("log_", "residential_ledger_", "mobile_ledger_")
OTHER_NAMES: Final = frozenset(
    {
        "customer_id", "proxy_user_id", "service_id", "service_adjustment_id", "country_id", "city_alias", "asn_id",
        "proxy_id", "city_id", "subdivision_id", "zip_code_id",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldRange:
    """The instants ``[start, end)`` of a time as written: its second or its day."""

    start: datetime
    end: datetime


# A tuple matches any of its numbers.
Value = int | str | FieldRange | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type and operators of a field; ``read`` raises ValueError for a malformed value."""

    name: str
    operators: Collection[Operator]
    read: Callable[[str], Value]
    read_pattern: Callable[[str], str] = lambda text: _text(text)


@dataclass(frozen=True, slots=True)
class Condition:
    field: str
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Search:
    """``sort`` is None for the default order."""

    conditions: tuple[Condition, ...]
    sort: str | None
    is_descending: bool
    page: int
    per_page: int
    zone: ZoneInfo = UTC_ZONE

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.per_page


def _number(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise ValueError("Must be a whole number.")
    return int(text)


def _text(text: str) -> str:
    if len(text) > MAX_TEXT_LENGTH:
        raise _Beyond(f"Must be at most {MAX_TEXT_LENGTH} characters.")
    return text


def _lower(text: str) -> str:
    return _text(text).lower()


def _host(text: str) -> str:
    return hostnames.normalized(_text(text))


def _country(text: str) -> str:
    if len(text) != 2 or not text.isascii() or not text.isalpha():
        raise ValueError("Must be an ISO 3166 code of two letters.")
    return countries.normalized(text).lower()


def _moment(text: str, zone: ZoneInfo = UTC_ZONE) -> FieldRange:
    """A second, or a local day in the zone."""
    instant = parse_query_instant(text, zone)
    if instant.is_date:
        return FieldRange(instant.at, instant.end)
    start = floor(instant.at, SECOND)
    return FieldRange(start, start + SECOND)


def _day(text: str) -> FieldRange:
    start = floor(parse_query_instant(text).at, DAY)
    return FieldRange(start, start + DAY)


class _Beyond(Exception):
    """A well-formed value that is out of range."""


_ORDERED: Final = (Operator.EQUAL, Operator.NOT, Operator.MIN, Operator.MAX)
_TEXTUAL: Final = (Operator.EQUAL, Operator.NOT, Operator.LIKE)

ID: Final = FieldType("id", (Operator.EQUAL, Operator.NOT), str)
NUMBER: Final = FieldType("integer", _ORDERED, _number)
TEXT: Final = FieldType("text", _TEXTUAL, _text)
LOWER_TEXT: Final = FieldType("text", _TEXTUAL, _lower, _lower)
# The published id is text, while columns have its number.
LOGIN: Final = FieldType("id", _TEXTUAL, str)
HOST: Final = FieldType("text", _TEXTUAL, _host, _host)
COUNTRY: Final = FieldType("text", _TEXTUAL, _country, _lower)
MOMENT: Final = FieldType("date-time", _ORDERED, _moment)
DATE: Final = FieldType("date", _ORDERED, _day)


def one_of(choices: Collection[str]) -> FieldType:
    """A field with a closed list of values."""

    def read(text: str) -> str:
        if text not in choices:
            raise _Beyond(f"Must be one of {', '.join(choices)}.")
        return text

    return FieldType("text", _TEXTUAL, read)


def parse(query: QueryDict, fields: Mapping[str, FieldType]) -> Search:
    """The search in a query string.

    Raises InvalidInput (400) for malformed or repeated values, and OutOfRange (422) for values out of range,
    unsupported operators and sorts, and filters by other fields of Byteful's: fields of its other searches, or fields
    that are not stored. Without such a filter the response would be the whole account. Other unknown parameters are
    ignored.
    """
    reader = _Reader(query, fields)
    search = Search(
        conditions=tuple(reader.conditions()),
        **reader.order(),
        page=reader.whole("page", 1, LAST_PAGE),
        per_page=reader.whole("per_page", MAX_PER_PAGE, MAX_PER_PAGE),
        zone=reader.zone,
    )
    reader.refuse_if_faulty()
    return search


class _Reader:
    """Continues after an error, so that the response names all errors."""

    def __init__(self, query: QueryDict, fields: Mapping[str, FieldType]) -> None:
        self.given = {name: values for name, values in query.lists() if values != [""]}
        self.fields = fields
        self.malformed: list[FieldError] = []
        self.beyond: list[FieldError] = []
        self.zone = self._zone()

    def _zone(self) -> ZoneInfo:
        try:
            return parse_zone(self._single("tz") or UTC_ZONE.key) if "tz" in self.given else UTC_ZONE
        except InvalidTime as fault:
            self.malformed.append(FieldError("tz", str(fault)))
            return UTC_ZONE

    def conditions(self) -> list[Condition]:
        found = []
        for name in self.given:
            bare = without_brackets(name)
            field, prefix = self._named(bare)
            if name != bare and (field is not None or bare in CONTROLS):
                self.malformed.append(FieldError(name, single_value(name)))
                continue
            if field is None:
                if _is_of_byteful(bare):
                    self.beyond.append(FieldError(name, "This search cannot filter by this field."))
                continue
            if prefix not in self.fields[field].operators:
                self.beyond.append(FieldError(name, f"{field} does not support {prefix}."))
            elif (value := self._value(name, self.fields[field], Operator(prefix))) is not None:
                found.append(Condition(field, Operator(prefix), value))
        return found

    def _named(self, name: str) -> tuple[str | None, str]:
        """The field, and the prefix before it."""
        if name in self.fields:
            return name, ""
        for prefix in PREFIXES:
            if name.startswith(prefix) and name.removeprefix(prefix) in self.fields:
                return name.removeprefix(prefix), prefix
        return None, ""

    def _value(self, name: str, kind: FieldType, operator: Operator) -> Value | None:
        read: Callable[[str], Value] = kind.read_pattern if operator is Operator.LIKE else kind.read
        if kind is MOMENT:
            read = partial(_moment, zone=self.zone)
        text = self._single(name)
        try:
            return None if text is None else read(text)
        except ValueError as fault:
            self.malformed.append(FieldError(name, str(fault)))
        except _Beyond as fault:
            self.beyond.append(FieldError(name, str(fault)))
        return None

    def _single(self, name: str) -> str | None:
        values = self.given[name]
        if len(values) > 1:
            self.malformed.append(FieldError(name, "Given more than once."))
            return None
        return values[0]

    def order(self) -> dict[str, Any]:
        text = self._single("sort_by") if "sort_by" in self.given else None
        if text is None:
            return {"sort": None, "is_descending": True}
        field = text if text in self.fields else text.removesuffix("_desc").removesuffix("_asc")
        if field not in self.fields or text not in (field, f"{field}_asc", f"{field}_desc"):
            self.beyond.append(FieldError("sort_by", "Must be a field, optionally followed by _asc or _desc."))
        return {"sort": field, "is_descending": text == f"{field}_desc"}

    def whole(self, name: str, default: int, most: int) -> int:
        text = self._single(name) if name in self.given else None
        if text is None:
            return default
        if not INTEGER.fullmatch(text):
            self.malformed.append(FieldError(name, "Must be a whole number."))
        elif not 1 <= int(text) <= most:
            self.beyond.append(FieldError(name, f"Must be 1 to {most}."))
        else:
            return int(text)
        return default

    def refuse_if_faulty(self) -> None:
        if self.malformed:
            raise InvalidInput("The query has parameters that are not as documented.", errors=self.malformed)
        if self.beyond:
            raise OutOfRange("Unsupported filter, sort or value.", errors=self.beyond)


def refuse_unkept(query: QueryDict, filters: Collection[str]) -> None:
    """Raises OutOfRange for Byteful filters and prefixes that a route with these filters would ignore."""
    prefixed = {f"{prefix}{name}" for prefix in PREFIXES for name in filters}
    given = {name: without_brackets(name) for name, values in query.lists() if any(values)}
    unkept = [
        FieldError(name, "This route cannot filter by this.")
        for name, bare in given.items()
        if bare in prefixed or (bare not in filters and _is_of_byteful(bare))
    ]
    if unkept:
        raise OutOfRange("Unsupported filter, sort or value.", errors=unkept)


def _is_of_byteful(name: str) -> bool:
    bare = (name, *(name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)))
    return any(text in OTHER_NAMES or text.startswith(NOUNS) for text in bare)


def chosen(pattern: str, choices: Collection[str]) -> list[str]:
    """The choices that match a ``like_`` pattern."""
    parts = WILDCARDS.split(pattern.lower())
    return [choice for choice in choices if _is_like(parts, choice.lower())]


def _is_like(parts: Sequence[str], text: str) -> bool:
    """Whether the text consists of these parts in order, with any text between them."""
    first, *others = parts
    if not others:
        return text == first
    *middle, last = others
    at = len(first)
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.startswith(first) and text.endswith(last) and at <= len(text) - len(last)


def parameters(fields: Mapping[str, FieldType]) -> list[OpenApiParameter]:
    """The query parameters of such a search, for the OpenAPI description."""
    filters = [
        OpenApiParameter(f"{operator}{name}", int if kind is NUMBER else str, description=_MEANINGS[operator])
        for name, kind in fields.items()
        for operator in kind.operators
    ]
    return [*filters, *_PAGING]


_MEANINGS: Final = {
    Operator.EQUAL: "Exactly this.",
    Operator.NOT: "Anything but this.",
    Operator.MIN: "At least this.",
    Operator.MAX: "At most this.",
    Operator.LIKE: "Matches this pattern, ignoring case; `%` stands for any text.",
}
_PAGING: Final = (
    OpenApiParameter("sort_by", description="A field followed by `_asc` or `_desc`. By default newest first."),
    OpenApiParameter("tz", description="IANA zone of date-times, in rows and in filters without a zone. Default UTC."),
    OpenApiParameter("page", int, description="From 1."),
    OpenApiParameter("per_page", int, description=f"1 to {MAX_PER_PAGE}, by default {MAX_PER_PAGE}."),
)


def page_of(rows: Sequence[Any], total: int, search: Search, message: str) -> dict[str, Any]:
    """The envelope of one page."""
    return {
        "data": rows,
        "item_count": len(rows),
        "message": message,
        "page": search.page,
        "per_page": search.per_page,
        "total_count": total,
    }


def page_schema(
    name: str, row: type[serializers.Serializer[Any]], total_count: str
) -> type[serializers.Serializer[Any]]:
    """The same envelope for the OpenAPI description, with the meaning of its ``total_count``."""
    whole = serializers.IntegerField
    return shape(
        name,
        data=row(many=True),
        item_count=whole(),
        message=serializers.CharField(),
        page=whole(),
        per_page=whole(),
        total_count=whole(help_text=total_count),
    )


def answer_schema(name: str, data: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The envelope of a single object, for the OpenAPI description."""
    return shape(name, data=data(), message=serializers.CharField())
