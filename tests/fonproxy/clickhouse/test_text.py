from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from ipaddress import IPv6Address
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fonproxy.clickhouse import text
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.errors import EngineFault
from tests.fonproxy.clickhouse.batches import ONE_ENGINE

ANY_TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\\\t\n\r\0'\"N😀")), max_size=40
)


@given(ANY_TEXT)
@settings(ONE_ENGINE, max_examples=300)
def test_any_bound_string_round_trips(engine: Client, value: str) -> None:
    assert engine.fetch("SELECT {value:String}", {"value": value}, tag="tests") == [(value,)]


@given(st.lists(ANY_TEXT, max_size=8))
@settings(ONE_ENGINE, max_examples=200)
def test_any_bound_list_of_strings_round_trips(engine: Client, values: list[str]) -> None:
    assert engine.fetch("SELECT {values:Array(String)}", {"values": values}, tag="tests") == [(values,)]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=8))
@settings(ONE_ENGINE, max_examples=50)
def test_any_bound_numbers_round_trip(engine: Client, values: list[int]) -> None:
    assert engine.fetch("SELECT {values:Array(UInt64)}", {"values": values}, tag="tests") == [(values,)]


MOMENT = datetime(2026, 3, 15, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("type_", "value", "answer"),
    [
        ("DateTime('UTC')", MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45))), MOMENT),
        ("DateTime64(6, 'UTC')", MOMENT.replace(microsecond=5), MOMENT.replace(microsecond=5)),
        ("DateTime64(3, 'UTC')", datetime(1969, 1, 1, 23, 59, 59, tzinfo=UTC), None),
        ("Date", date(2026, 3, 15), None),
        ("Nullable(String)", None, None),
        ("Nullable(Date)", None, None),
        ("Float64", 0.1, None),
        ("Float64", 3, 3.0),
        ("Float64", math.inf, None),
        ("Bool", True, None),
        ("UInt8", True, 1),
        ("UInt64", 2**64 - 1, None),
        ("UInt128", 2**128 - 1, None),
        ("Int64", -(2**63), None),
        ("LowCardinality(String)", "x", None),
        ("UUID", "0190a0b0-0000-7000-8000-000000000001", UUID("0190a0b0-0000-7000-8000-000000000001")),
        ("IPv6", "2001:db8::1", IPv6Address("2001:db8::1")),
    ],
)
def test_values_keep_their_python_type(engine: Client, type_: str, value: Any, answer: Any) -> None:
    [(got,)] = engine.fetch(f"SELECT {{value:{type_}}}", {"value": value}, tag="tests")

    assert got == (value if answer is None else answer)
    assert type(got) is type(value if answer is None else answer)


def test_nested_types_are_converted_inside() -> None:
    answer = b"""{"meta": [{"name": "a", "type": "Array(Nullable(DateTime('UTC')))"},
        {"name": "m", "type": "SimpleAggregateFunction(max, UInt64)"}, {"name": "f", "type": "Array(Float64)"}],
        "data": [[["0", null], 7, [1, "nan"]]]}"""

    [(moments, maximum, floats)] = text.rows(answer)

    assert moments == [datetime(1970, 1, 1, tzinfo=UTC), None]
    assert maximum == 7
    assert floats[0] == 1.0
    assert math.isnan(floats[1])


def test_a_time_in_another_zone_is_exact_where_the_clock_goes_back(engine: Client) -> None:
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    sql = "SELECT toTimeZone({first:DateTime('UTC')}, 'America/New_York') AS one, one + INTERVAL 1 HOUR"

    [(one, other)] = engine.fetch(sql, {"first": first}, tag="tests")

    assert (one.hour, one.minute) == (other.hour, other.minute) == (1, 30)
    assert one.astimezone(UTC) == first
    assert other.astimezone(UTC) == first + timedelta(hours=1)
    assert one.tzinfo == ZoneInfo("America/New_York")


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        text.parameter(datetime(2026, 1, 1))


def test_half_a_second_is_not_silently_dropped(engine: Client) -> None:
    with pytest.raises(EngineFault):
        engine.fetch("SELECT {t:DateTime('UTC')}", {"t": MOMENT.replace(microsecond=5)}, tag="tests")


def test_a_time_without_zone_is_refused(engine: Client) -> None:
    with pytest.raises(EngineFault, match="zone"):
        engine.fetch("SELECT now()", tag="tests")
