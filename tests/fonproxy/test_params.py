"""Query parameters are read for each request, although their fields are built once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.http import QueryDict
from rest_framework import serializers

from fonproxy.api.params import InstantField, Params, WholeNumberField, ZoneField
from fonproxy.timerange import UTC_ZONE


class Example(Params):
    at = InstantField(required=False)
    tz = ZoneField(required=False, default=UTC_ZONE)
    limit = WholeNumberField(required=False, default=30, max_value=100)


def read(query: str) -> dict[str, Any]:
    return Example.read(QueryDict(query))


def test_no_parameter_leaks_into_the_next_request() -> None:
    local = read("at=2026-11-20T12:00&tz=Asia/Kathmandu&limit=5")
    assert (local["at"].at.isoformat(), local["limit"]) == ("2026-11-20T06:15:00+00:00", 5)
    assert read("at=2026-11-20T12:00")["at"].at.isoformat() == "2026-11-20T12:00:00+00:00"
    assert read("") == {"tz": UTC_ZONE, "limit": 30}


def test_an_error_belongs_to_its_own_request() -> None:
    with pytest.raises(serializers.ValidationError) as refused:
        read("limit=101&at=never")
    assert set(refused.value.detail) == {"limit", "at"}
    assert read("limit=100")["limit"] == 100
    with pytest.raises(serializers.ValidationError) as repeated:
        read("limit=1&limit=2")
    assert set(repeated.value.detail) == {"limit"}


@pytest.mark.parametrize("query", ["limit[]=5", "limit=5&limit%5B%5D=6", "limit[]=5&limit[]=6", "limit[]=&limit[]=7"])
def test_a_list_for_one_value_is_refused_and_not_ignored(query: str) -> None:
    with pytest.raises(serializers.ValidationError) as refused:
        read(query)
    assert refused.value.detail == {"limit[]": ["Takes one value: write limit=…"]}


@pytest.mark.parametrize("name", ["limit[0]", "limit[17]", "limit[gte]"])
def test_a_key_of_one_value_is_refused_and_not_ignored(name: str) -> None:
    with pytest.raises(serializers.ValidationError) as refused:
        read(f"{name}=5")
    assert refused.value.detail == {name: ["Takes one value: write limit=…"]}


def test_unknown_list_parameters_are_ignored_and_empty_ones_are_absent() -> None:
    assert read("other[]=5&[]=1&limit[]=&other[0]=1&[0]=2&limit[0]=&limit[0][1]=3") == read("")


def test_concurrent_threads_read_their_own_parameters() -> None:
    zones = ["UTC", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"] * 50
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda zone: read(f"at=2026-11-20T12:00&tz={zone}"), zones))
    assert [given["tz"].key for given in found] == zones
    assert len({given["at"].at for given in found}) == 4
