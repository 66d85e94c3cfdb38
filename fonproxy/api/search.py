"""The search language of the tracking API: filters, a sort and a page, all in the query string.

A field is asked for by its name or with a prefix before it: ``min_`` and ``max_`` (both inclusive), ``like_`` (in any
case, ``%`` stands for any text) and ``not_``. Pure: what a store makes of the conditions is the caller's affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from fonproxy.api.docs import shape
from fonproxy.api.errors import FieldError, InvalidInput, OutOfRange
from fonproxy.api.params import DIGITS
from fonproxy.timerange import floor, parse_instant

SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
MOST_PER_PAGE: Final = 100
LAST_PAGE: Final = 10**12
LONGEST_TEXT: Final = 255
WILDCARDS: Final = re.compile("%+")


class Operator(StrEnum):
    """The prefix that asks for it."""

    EQUAL = ""
    NOT = "not_"
    MIN = "min_"
    MAX = "max_"
    LIKE = "like_"


@dataclass(frozen=True, slots=True)
class Span:
    """The instants ``[start, end)`` that a written time means: its second, or its day."""

    start: datetime
    end: datetime


Value = int | str | Span


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a field has, and what may be asked of them; what ``read`` raises is the caller's fault."""

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

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.per_page


def _number(text: str) -> int:
    if not DIGITS.fullmatch(text):
        raise ValueError("Must be a whole number.")
    return int(text)


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise _Beyond(f"Must be at most {LONGEST_TEXT} characters.")
    return text


def _lower(text: str) -> str:
    return _text(text).lower()


def _moment(text: str) -> Span:
    return _span(text, SECOND)


def _day(text: str) -> Span:
    return _span(text, DAY)


def _span(text: str, grain: timedelta) -> Span:
    instant = parse_instant(text)
    length = DAY if instant.is_date else grain
    start = floor(instant.at, length)
    return Span(start, start + length)


class _Beyond(Exception):
    """A sound value outside of what is allowed."""


_ORDERED: Final = (Operator.EQUAL, Operator.NOT, Operator.MIN, Operator.MAX)
_TEXTUAL: Final = (Operator.EQUAL, Operator.NOT, Operator.LIKE)

ID: Final = Kind("id", (Operator.EQUAL, Operator.NOT), str)
NUMBER: Final = Kind("integer", _ORDERED, _number)
TEXT: Final = Kind("text", _TEXTUAL, _text)
LOWER_TEXT: Final = Kind("text", _TEXTUAL, _lower, _lower)
MOMENT: Final = Kind("date-time", _ORDERED, _moment)
DATE: Final = Kind("date", _ORDERED, _day)


def one_of(choices: Collection[str]) -> Kind:
    """A field with a closed list of values."""

    def read(text: str) -> str:
        if text not in choices:
            raise _Beyond(f"Must be one of {', '.join(choices)}.")
        return text

    return Kind("text", _TEXTUAL, read)


def parse(query: QueryDict, fields: Mapping[str, Kind]) -> Search:
    """What the query string asks for.

    Raises InvalidInput (400) for values that are malformed or given twice, OutOfRange (422) for those beyond what is
    allowed, operators that a field does not have, and unknown sorts. Unknown parameters are ignored.
    """
    reader = _Reader(query, fields)
    search = Search(
        conditions=tuple(reader.conditions()),
        **reader.order(),
        page=reader.whole("page", 1, LAST_PAGE),
        per_page=reader.whole("per_page", MOST_PER_PAGE, MOST_PER_PAGE),
    )
    reader.refuse_if_faulty()
    return search


class _Reader:
    """Reads on after a fault, so that one answer names all of them."""

    def __init__(self, query: QueryDict, fields: Mapping[str, Kind]) -> None:
        self.given = {name: values for name, values in query.lists() if values != [""]}
        self.fields = fields
        self.malformed: list[FieldError] = []
        self.beyond: list[FieldError] = []

    def conditions(self) -> list[Condition]:
        found = []
        for name in self.given:
            field, operator = self._named(name)
            if field is None:
                continue
            if operator not in self.fields[field].operators:
                self.beyond.append(FieldError(name, f"{field} cannot be asked for with {operator}."))
            elif (value := self._value(name, self.fields[field], operator)) is not None:
                found.append(Condition(field, operator, value))
        return found

    def _named(self, name: str) -> tuple[str | None, Operator]:
        if name in self.fields:
            return name, Operator.EQUAL
        for operator in Operator:
            if operator and name.startswith(operator) and name.removeprefix(operator) in self.fields:
                return name.removeprefix(operator), operator
        return None, Operator.EQUAL

    def _value(self, name: str, kind: Kind, operator: Operator) -> Value | None:
        read = kind.read_pattern if operator is Operator.LIKE else kind.read
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
            self.beyond.append(FieldError("sort_by", "Must be a field, with _asc or _desc after it if you like."))
        return {"sort": field, "is_descending": text == f"{field}_desc"}

    def whole(self, name: str, default: int, most: int) -> int:
        text = self._single(name) if name in self.given else None
        if text is None:
            return default
        if not DIGITS.fullmatch(text):
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
            raise OutOfRange("The query asks for what is not offered.", errors=self.beyond)


def chosen(pattern: str, choices: Collection[str]) -> list[str]:
    """Those of a closed list that match a ``like_`` pattern."""
    parts = (re.escape(part) for part in WILDCARDS.split(pattern))
    wanted = re.compile(".*".join(parts), re.IGNORECASE)
    return [choice for choice in choices if wanted.fullmatch(choice)]


def parameters(fields: Mapping[str, Kind]) -> list[OpenApiParameter]:
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
    Operator.LIKE: "Like this, in any case; `%` stands for any text.",
}
_PAGING: Final = (
    OpenApiParameter("sort_by", description="A field, with `_asc` or `_desc` after it. By default newest first."),
    OpenApiParameter("page", int, description="From 1."),
    OpenApiParameter("per_page", int, description=f"1 to {MOST_PER_PAGE}, by default {MOST_PER_PAGE}."),
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


def page_schema(name: str, row: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The same envelope for the OpenAPI description."""
    whole = serializers.IntegerField
    return shape(
        name,
        data=row(many=True),
        item_count=whole(),
        message=serializers.CharField(),
        page=whole(),
        per_page=whole(),
        total_count=whole(),
    )


def answer_schema(name: str, data: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The envelope of a single thing, for the OpenAPI description."""
    return shape(name, data=data(), message=serializers.CharField())
