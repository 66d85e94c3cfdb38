"""The parameters of a time series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from django.conf import settings
from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from analytics.apinalytics.ingest_columns import UNKNOWN_FUNCTION
from analytics.apinalytics.masking import masked
from analytics.apinalytics.queries import Field, aggregation
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.api.params import Params, without_brackets
from fonproxy.numbers import WHOLE_NUMBER
from fonproxy.timerange import FIRST_YEAR, LAST_YEAR

SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
MAX_GRANULARITY: Final = 10**9
MAX_INCLUDES: Final = 100
MAX_POINTS: Final = 10_000
EARLIEST: Final = 946_684_800  # 2000-01-01
LATEST: Final = 4_133_980_800  # 2101-01-01


class SeriesParams(Params):
    value = serializers.ChoiceField(["response_us"], required=False, default="response_us")
    aggregation = serializers.CharField(
        required=False, default="count", help_text="count, mean, min, max, sum, percentile_1 … percentile_99"
    )
    granularity = serializers.CharField(
        required=False, help_text="Seconds, or second, minute, hour, day, week. Without it there is one point."
    )
    group = serializers.ChoiceField([field.value for field in Field], required=False)

    def validate_aggregation(self, value: str) -> str:
        if aggregation(value) is None:
            raise serializers.ValidationError("Must be count, mean, min, max, sum or percentile_1 to percentile_99.")
        return value

    def validate_granularity(self, value: str) -> int:
        """The granularity in seconds."""
        if value in SECONDS:
            return SECONDS[value]
        if WHOLE_NUMBER.fullmatch(value) and 1 <= int(value) <= MAX_GRANULARITY:
            return int(value)
        raise serializers.ValidationError(
            f"Must be seconds from 1 to {MAX_GRANULARITY}, or one of {', '.join(SECONDS)}."
        )


INCLUDE: Final = OpenApiParameter(
    "include",
    str,
    many=True,
    description="`field:value`, repeatable: values of one field are alternatives, different fields all apply.",
)


def read(start: str, end: str, query: QueryDict) -> dict[str, Any]:
    """All parameters, ``start`` and ``end`` among them in seconds; raises InvalidInput (400)."""
    given = SeriesParams.read(query)
    period = {"start": _epoch("start", start), "end": _epoch("end", end)}
    if period["end"] < period["start"]:
        raise _malformed("end", "The end is before the start.")
    step = given.get("granularity")
    if step and -(-period["end"] // step) - period["start"] // step > MAX_POINTS:
        raise _malformed("granularity", f"Would make more than {MAX_POINTS:,} points.")
    # jQuery writes a list as ``include[]``, PHP as ``include[0]``.
    lists = (values for name, values in query.lists() if without_brackets(name) == "include")
    return {**given, **period, "includes": _includes([text for text in chain(*lists) if text])}


def _epoch(name: str, text: str) -> int:
    if not WHOLE_NUMBER.fullmatch(text):
        raise _malformed(name, "Must be seconds since 1970, a whole number.")
    if not EARLIEST <= int(text) < LATEST:
        raise _malformed(name, f"Must lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
    return int(text)


def _includes(texts: Sequence[str]) -> Mapping[Field, tuple[int | str, ...]]:
    if len(texts) > MAX_INCLUDES:
        raise _malformed("include", f"At most {MAX_INCLUDES} values are allowed.")
    found: defaultdict[Field, list[int | str]] = defaultdict(list)
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or name not in list(Field):
            raise _malformed("include", f"Must be one of {', '.join(Field)}, a colon and a value.")
        found[Field(name)].append(_stored(Field(name), value))
    return {field: tuple(values) for field, values in found.items()}


def _stored(field: Field, value: str) -> int | str:
    """The value in the form in which events store it."""
    if field is Field.URL:
        return masked(value, settings.SECRET_PARAMETERS)
    if field is Field.FUNCTION:
        return value or UNKNOWN_FUNCTION
    if field is not Field.STATUS_CODE:
        return value
    if not WHOLE_NUMBER.fullmatch(value):
        raise _malformed("include", "A status code is a whole number.")
    return int(value)


def _malformed(name: str, message: str) -> InvalidInput:
    return InvalidInput("The request is not as documented.", errors=[FieldError(name, message)])
