"""Strict query parameters for every family, and fields that bodies share with them.

Unknown parameters are ignored and an empty one counts as absent; a malformed, out-of-range or repeated one is a 400
that names it.
"""

from __future__ import annotations

import re
import threading
from datetime import datetime
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fonproxy import countries, hostnames, webhooks
from fonproxy.numbers import INTEGER
from fonproxy.timerange import UTC_ZONE, Instant, InvalidTime, parse_instant, parse_query_instant, parse_zone

_thread: Final = threading.local()
_BRACKETS: Final = re.compile(r"\[[^\[\]]*\]\Z")
COUNTRY: Final = re.compile("[A-Za-z]{2}")


def without_brackets(name: str) -> str:
    """The parameter of which ``name[]``, ``name[0]`` and ``name[key]`` are forms."""
    return _BRACKETS.sub("", name)


def single_value(name: str) -> str:
    """The refusal of these forms for a parameter with one value."""
    return f"Takes one value: write {without_brackets(name)}=…"


class Params(serializers.Serializer[Any]):
    """The parameters of one route, declared as serializer fields."""

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """The validated parameters; raises ValidationError (400), which names the invalid ones."""
        params = cls._of_this_thread()
        params.initial_data = {name: values[0] for name, values in query.lists() if values[0] != ""}
        repeated = {
            name: ["Given more than once."]
            for name, values in query.lists()
            if len(values) > 1 and name in params.fields
        }
        # Clients write lists as ``name[]`` or ``name[0]``. Ignoring such a filter would return everything.
        lists = {
            name: [single_value(name)]
            for name, values in query.lists()
            if name not in params.fields and without_brackets(name) in params.fields and any(values)
        }
        if repeated or lists:
            raise serializers.ValidationError(repeated | lists)
        return dict(params.run_validation(params.initial_data))

    @classmethod
    def _of_this_thread(cls) -> Self:
        """An instance reused within the thread, because creating the fields takes longer than reading them."""
        instances: dict[type[Self], Self] = _thread.__dict__.setdefault("params", {})
        return instances.get(cls) or instances.setdefault(cls, cls())


@extend_schema_field(str)
class CountryField(serializers.Field[str, str, str, Any]):
    """Two letters, normalized like those of ingested rows."""

    def to_internal_value(self, data: str) -> str:
        if not COUNTRY.fullmatch(str(data)):
            raise serializers.ValidationError("Must be an ISO 3166 code of two letters.")
        return countries.normalized(str(data))

    def to_representation(self, value: str) -> str:
        return value


class WholeNumberField(serializers.IntegerField):
    """An integer in ASCII digits: no sign except a minus, no spaces, no underscores, no ``1.0``."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not INTEGER.fullmatch(data):
            self.fail("invalid")
        return int(data)


class StrictIntegerField(serializers.IntegerField):
    """A JSON integer: no string, fraction or boolean."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """A JSON string; other types are not converted."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class BoundedListField(serializers.ListField):
    """A list whose length is checked before its items, so that a long list is one error instead of one for each."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        super().__init__(max_length=max_length, **options)
        self.bound = max_length

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > self.bound:
            self.fail("max_length", max_length=self.bound)
        items: list[Any] = super().to_internal_value(data)
        return items


class WebhookUrlField(TextField):
    """A URL that may be called: HTTPS and a public host, as checked by ``webhooks.check_url``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=webhooks.MAX_URL_LENGTH, **options)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            webhooks.check_url(text)
        except webhooks.BadUrl as fault:
            raise serializers.ValidationError(str(fault)) from None
        return text


@extend_schema_field(str)
class IdField(serializers.Field[str, str, str, Any]):
    """A published id, not validated here: a malformed id is not found (404)."""

    def to_internal_value(self, data: str) -> str:
        return str(data)

    def to_representation(self, value: str) -> str:
        return value


@extend_schema_field(str)
class DomainField(serializers.Field[str, str, str, Any]):
    """A host name, normalized like those of ingested rows."""

    def to_internal_value(self, data: str) -> str:
        return hostnames.normalized(str(data))

    def to_representation(self, value: str) -> str:
        return value


@extend_schema_field(str)
class InstantField(serializers.Field[Instant, str, str, Any]):
    """An ISO 8601 date or date-time; without an offset in the zone of the parameter ``tz``, else in UTC."""

    def to_internal_value(self, data: str) -> Instant:
        try:
            return parse_query_instant(str(data), self._zone())
        except InvalidTime as fault:
            raise serializers.ValidationError(str(fault)) from None

    def _zone(self) -> ZoneInfo:
        params = self.parent
        try:
            return parse_zone(params.initial_data["tz"]) if "tz" in getattr(params, "fields", ()) else UTC_ZONE
        except (KeyError, InvalidTime):
            return UTC_ZONE  # missing, or reported by the other field

    def to_representation(self, value: Instant) -> str:
        return value.at.isoformat()


class ExpiryField(serializers.DateTimeField):
    """An expiry: a date includes that day."""

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
