"""Query parameters and responses of the geo routes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from fonproxy.api.params import Params
from geo.models import DEFAULT_POOL


class OneOrAllField(serializers.CharField):
    """A name, or None for ``all``, the published default."""

    def to_internal_value(self, data: Any) -> str | None:  # type: ignore[override]
        name = super().to_internal_value(data)
        return None if name == "all" else name


class CountsParams(Params):
    type = OneOrAllField(required=False, default=None, help_text="Only this proxy type; `all` by default.")
    pool = OneOrAllField(required=False, default=None, help_text="Only this pool; `all` by default.")
    noservice = serializers.BooleanField(
        required=False, default=False, help_text="Only each type's default service, without its layer."
    )


class CountriesParams(Params):
    type = serializers.CharField(help_text="The proxy type.")
    pool = serializers.CharField(required=False, default=DEFAULT_POOL)


class CountsSerializer(serializers.Serializer[Any]):
    counts = serializers.DictField(help_text="type -> pool -> service -> country -> count")


class CountriesSerializer(serializers.Serializer[Any]):
    countries = serializers.ListField(child=serializers.CharField())
