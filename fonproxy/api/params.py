"""Query parameters, read strictly and by one rule for every family, and fields that bodies share with them.

Unknown parameters are ignored and an empty one counts as absent; a malformed, out-of-range or repeated one is a 400
that names it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fonproxy.timerange import Instant, InvalidTime, parse_instant, parse_zone

DIGITS: Final = re.compile(r"-?[0-9]{1,18}")


class Params(serializers.Serializer[Any]):
    """The parameters of one route, declared as serializer fields."""

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """The validated parameters; raises ValidationError (400) naming the ones at fault."""
        params = cls(data={name: values[0] for name, values in query.lists() if values[0] != ""})
        repeated = [name for name, values in query.lists() if len(values) > 1 and name in params.fields]
        if repeated:
            raise serializers.ValidationError({name: ["Given more than once."] for name in repeated})
        params.is_valid(raise_exception=True)
        return dict(params.validated_data)


class WholeNumberField(serializers.IntegerField):
    """An integer in ASCII digits: no sign but a minus, no spaces, no underscores, no ``1.0``."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not DIGITS.fullmatch(data):
            self.fail("invalid")
        return int(data)


class StrictIntegerField(serializers.IntegerField):
    """A JSON integer: no text, no fraction, no truth value."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field(str)
class IdField(serializers.Field[str, str, str, Any]):
    """A published id, taken as it is written: whatever is wrong with it, it is one that is not found (404)."""

    def to_internal_value(self, data: str) -> str:
        return str(data)

    def to_representation(self, value: str) -> str:
        return value


@extend_schema_field(str)
class DomainField(serializers.Field[str, str, str, Any]):
    """A domain in any case, as the intake folds it: whatever it accepted can be asked for."""

    def to_internal_value(self, data: str) -> str:
        return str(data).lower()

    def to_representation(self, value: str) -> str:
        return value


@extend_schema_field(str)
class InstantField(serializers.Field[Instant, str, str, Any]):
    """An ISO 8601 date or date-time; UTC without a zone."""

    def to_internal_value(self, data: str) -> Instant:
        try:
            return parse_instant(str(data))
        except InvalidTime as fault:
            raise serializers.ValidationError(str(fault)) from None

    def to_representation(self, value: Instant) -> str:
        return value.at.isoformat()


class ExpiryField(serializers.DateTimeField):
    """An instant something lasts until: a date means the whole of that day."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return parse_instant(str(value)).end
        except InvalidTime as fault:
            raise serializers.ValidationError(str(fault)) from None


@extend_schema_field(str)
class ZoneField(serializers.Field[ZoneInfo, str, str, Any]):
    """An IANA time zone."""

    def to_internal_value(self, data: str) -> ZoneInfo:
        try:
            return parse_zone(str(data))
        except InvalidTime as fault:
            raise serializers.ValidationError(str(fault)) from None

    def to_representation(self, value: ZoneInfo) -> str:
        return value.key
