"""Query parameters and responses of the geo routes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from fonproxy.api.params import Params
from geo.models import DEFAULT_POOL


class CountsParams(Params):
    type = serializers.CharField(required=False, default=None, help_text="Only this proxy type.")
    pool = serializers.CharField(required=False, default=None, help_text="Only this pool.")
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
