"""Decoding and checking the body of an ingest, without a server around it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.ingest import decode, duplicates
from analytics.ingest.checks import Columns
from analytics.traffic.ingest_row import TRAFFIC
from fonproxy.api.errors import FieldError, InvalidInput, TooLarge

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OLDEST = datetime(2025, 10, 21, 12, 0, tzinfo=UTC)
SOUND: dict[str, Any] = {"ts": "2026-11-20 10:15:00", "user_id": 1, "order_id": 3, "count": 12}


def parse(body: bytes, max_rows: int = 100_000) -> Columns:
    return decode.parse(TRAFFIC, body, oldest=OLDEST, now=NOW, max_rows=max_rows)[0]


def body(*logs: Any) -> bytes:
    return json.dumps({"logs": logs}).encode()


def refused(content: bytes) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidInput) as refusal:
        parse(content)
    return refusal.value.errors


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2026-11-20 10:15:00", (10, 15)),
        ("2026-11-20T10:15:59.999Z", (10, 15)),
        ("2026-11-20t12:15:00+02:00", (10, 15)),
        ("2026-11-20T12:15:00+0200", (10, 15)),
        ("2026-11-20T10:15", (10, 15)),
        ("2026-11-20T10:15:00,5Z", (10, 15)),
        ("2026-11-20", (0, 0)),
    ],
)
def test_every_common_time_format_is_accepted(text: str, meaning: tuple[int, int]) -> None:
    [at] = parse(body(SOUND | {"ts": text}))["ts"].to_pylist()
    assert (at.date().isoformat(), at.hour, at.minute) == ("2026-11-20", *meaning)


@pytest.mark.parametrize(
    "text", ["2026-02-30 10:00:00", "10000-01-01T00:00:00Z", "today", "", "1795220843", "2026-11-20T25:00"]
)
def test_a_malformed_time_is_refused_by_row_and_field(text: str) -> None:
    assert refused(body(SOUND, SOUND | {"ts": text})) == (
        FieldError("ts", "Must be a time as YYYY-MM-DD HH:MM:SS or ISO 8601.", 1),
    )


def test_the_bounds_of_retention_and_of_tomorrow_are_accepted() -> None:
    assert (
        len(
            parse(body(SOUND | {"ts": OLDEST.isoformat()}, SOUND | {"ts": (NOW + timedelta(days=1)).isoformat()}))["ts"]
        )
        == 2
    )
    outside = refused(
        body(
            SOUND | {"ts": (OLDEST - timedelta(seconds=1)).isoformat()},
            SOUND | {"ts": (NOW + timedelta(days=1, seconds=1)).isoformat()},
        )
    )
    assert [(error.index, error.field) for error in outside] == [(0, "ts"), (1, "ts")]


def test_a_valid_row_a_day_ahead_is_not_reported_for_another_rows_error() -> None:
    edge = SOUND | {"ts": (NOW + timedelta(days=1)).isoformat()}
    oldest = SOUND | {"ts": OLDEST.isoformat()}
    assert [(error.index, error.field) for error in refused(body(edge, oldest, SOUND | {"country": "DEU"}))] == [
        (2, "country")
    ]


@pytest.mark.parametrize("field", ["ip_out", "ip_from"])
def test_an_address_with_a_null_character_is_refused_by_row_and_field(field: str) -> None:
    assert refused(body(SOUND, SOUND | {field: "192.0.2.1\0"})) == (
        FieldError(field, "Must be an IPv4 or IPv6 address, or empty.", 1),
    )


@pytest.mark.parametrize("element", [b"1", b"{}", json.dumps(SOUND).encode(), b'"{,}"', b"[]"])
def test_too_many_rows_of_any_kind_are_refused(element: bytes) -> None:
    with pytest.raises(TooLarge):
        parse(b'{"logs":[' + b",".join([element] * 11) + b"]}", max_rows=10)


def test_the_first_hundred_bad_rows_are_reported_in_order_once_each() -> None:
    bad_type, bad_address, nameless = (
        SOUND | {"count": "12"},
        SOUND | {"ip_out": "1.2.3"},
        {"ts": SOUND["ts"], "count": 1},
    )
    errors = refused(body(*[SOUND, bad_type, bad_address, nameless] * 50))
    assert [error.index for error in errors] == [i for i in range(200) if i % 4][:100]
    assert [error.field for error in errors[:3]] == ["count", "ip_out", "user_id"]


def test_text_that_is_not_unicode_is_named() -> None:
    with pytest.raises(InvalidInput, match="half of a surrogate pair is missing"):
        parse(body(SOUND, SOUND | {"domain": "X"}).replace(b'"X"', b'"\\ud800"'))
    latin = body(SOUND, SOUND | {"domain": "X"}).replace(b'"X"', b'"\xe9"')
    assert refused(latin) == (FieldError("row", "Contains text that is not valid Unicode.", 1),)


@pytest.mark.parametrize(
    "form",
    [
        b'{"logs":[{}],"logs":[ROW]}',
        b'{"logs":[ROW],"logs":[ROW]}',
        b'{"logs":[ROW,ROW],"logs":[]}',
        b'{"logs":[ROW],"\\u006cogs":[ROW]}',
        b'{"logs":[ROW],"note":{"n":' + b"1" * 5000 + b'},"logs":[ROW]}',
    ],
)
def test_logs_given_twice_are_refused_with_a_reason(form: bytes) -> None:
    content = form.replace(b"ROW", json.dumps(SOUND).encode())
    assert refused(content) == (FieldError("logs", "Is given more than once."),)


def test_logs_as_a_name_or_value_inside_of_a_row_are_no_second_list() -> None:
    rows = body(SOUND | {"domain": "logs", "\u00e9": {"logs": [{}]}}, SOUND | {"worker": '{"logs"'})
    assert parse(rows)["count"] == [12, 12]


def test_a_second_list_is_not_searched_for_among_too_many_values() -> None:
    values = b'["ab"' + b',"ab"' * duplicates.MAX_VALUES + b"]"
    with pytest.raises(TooLarge):
        parse(b'{"logs":[],"more":[{},{"logs":' + values + b"}]}")
    assert len(parse(b'{"logs":[],"more":[{},{"x":' + values + b"}]}")["count"]) == 0


def test_an_unknown_field_of_any_type_is_ignored() -> None:
    assert parse(body(SOUND | {"extra": {"deep": [1, {"x": None}]}, "log_id": 5}))["count"] == [12]
