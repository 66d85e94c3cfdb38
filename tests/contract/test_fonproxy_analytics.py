"""The examples of the published FonProxy Analytics reference: requests and the exact shape of responses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from orders.models import Order
from tests.analytics.helpers import documented_row, post, push, recently

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
DECIMAL = re.compile(r"0|[1-9]\d*")

# The documented rows, key by key in the documented order, with the type of each value.
ROWS = {
    "traffic": {
        "bucket": STAMP,
        "total_bytes_sent": DECIMAL,
        "total_bytes_received": DECIMAL,
        "bytes_total": DECIMAL,
        "total_count": DECIMAL,
    },
    "requests": {"bucket": STAMP, "total_count": DECIMAL, "total_errors": DECIMAL},
    "concurrency": {"bucket": STAMP, "max_concurrency": DECIMAL, "total_count": DECIMAL},
    "domains": {
        "domain": re.compile(".+"),
        "total_count": DECIMAL,
        "bytes_total": DECIMAL,
        "total_bytes_sent": DECIMAL,
        "total_bytes_received": DECIMAL,
        "total_errors": DECIMAL,
    },
    "errors": {"error": re.compile(".+"), "total_errors": DECIMAL, "first_seen": STAMP, "last_seen": STAMP},
    "countries": {
        "country": re.compile("[A-Z]{2}"),
        "total_count": DECIMAL,
        "bytes_total": DECIMAL,
        "total_errors": DECIMAL,
    },
    "websites": {
        "domain": re.compile(".+"),
        "total_count": DECIMAL,
        "bytes_total": DECIMAL,
        "first_visit": STAMP,
        "last_visit": STAMP,
    },
}
PAGING = {"page": 1, "limit": 25, "total": 2, "totalPages": 1}
DOCUMENTED_LIMITS = {"domains": 30, "errors": 50, "websites": 25}


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice)


@pytest.fixture
def reader(alice: User, client_for: Callable[..., APIClient]) -> APIClient:
    return client_for(alice)


@pytest.fixture
def ask(
    clean_engine: Any, alice: User, order: Order, staff: User, reader: APIClient, client_for: Callable[..., APIClient]
) -> Callable[..., Any]:
    """The reads of an account with the documented row and one of a failure, over the last two days."""
    owner = {"user_id": alice.pk, "order_id": order.pk}
    failure = documented_row(**owner, domain="github.com", error="ECONNREFUSED", count=2, error_count=2)
    assert push(client_for(staff), [documented_row(**owner), failure]).status_code == 204
    today = datetime.now(UTC).date()

    def get(report: str, **more: Any) -> Any:
        times = {"from": f"{today - timedelta(days=1)}", "to": f"{today}"}
        return reader.get(f"/analytics/{report}", {**times, **more})

    return get


def test_the_documented_body_is_answered_204_with_nothing(
    clean_engine: Any, worker: User, client_for: Callable[..., APIClient]
) -> None:
    response = push(client_for(worker, "ingest"), [documented_row()])
    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Type" not in response


def test_an_envelope_has_the_documented_keys_in_order(ask: Callable[..., Any]) -> None:
    for report in ROWS:
        response = ask(report)
        assert (response.status_code, response["Content-Type"]) == (200, "application/json")
        paging = list(PAGING) if report == "websites" else []
        assert list(response.json()) == ["data", *paging, "totals", "last_data_at"]


@pytest.mark.parametrize("report", ROWS)
def test_a_row_has_the_documented_keys_in_order_and_every_metric_as_a_string(
    ask: Callable[..., Any], report: str
) -> None:
    rows = ask(report).json()["data"]
    assert rows
    for row in rows:
        samples = row.pop("sample_domains", None)
        assert list(row) == list(ROWS[report])
        assert all(isinstance(row[name], str) and kind.fullmatch(row[name]) for name, kind in ROWS[report].items())
        assert samples == (["github.com"] if report == "errors" else None)


def test_the_samples_of_an_error_come_last(ask: Callable[..., Any]) -> None:
    assert list(ask("errors").json()["data"][0])[-1] == "sample_domains"


def test_paging_is_described_in_numbers(ask: Callable[..., Any]) -> None:
    answer = ask("websites").json()
    assert {name: answer[name] for name in PAGING} == PAGING
    assert all(type(answer[name]) is int for name in PAGING)


def test_the_documented_row_reads_as_documented(ask: Callable[..., Any]) -> None:
    bucket = f"{recently():%Y-%m-%d %H:%M:%S}"
    google = {"domain": "google.com"}
    assert ask("traffic", **google).json()["data"] == [
        {
            "bucket": bucket,
            "total_bytes_sent": "10240",
            "total_bytes_received": "524800",
            "bytes_total": "535040",
            "total_count": "12",
        }
    ]
    assert ask("requests", **google).json()["data"] == [{"bucket": bucket, "total_count": "12", "total_errors": "0"}]
    assert ask("concurrency", **google).json()["data"] == [
        {"bucket": bucket, "max_concurrency": "5", "total_count": "12"}
    ]
    assert ask("errors").json()["data"] == [
        {
            "error": "ECONNREFUSED",
            "total_errors": "2",
            "first_seen": bucket,
            "last_seen": bucket,
            "sample_domains": ["github.com"],
        }
    ]
    assert ask("websites", **google).json() == {
        "data": [
            {
                "domain": "google.com",
                "total_count": "12",
                "bytes_total": "535040",
                "first_visit": bucket,
                "last_visit": bucket,
            }
        ],
        "page": 1,
        "limit": 25,
        "total": 1,
        "totalPages": 1,
        "totals": {"total_count": "12", "bytes_total": "535040"},
        "last_data_at": bucket,
    }


def test_the_newest_bucket_is_independent_of_the_range(ask: Callable[..., Any]) -> None:
    for report in ROWS:
        answer = ask(report, **{"from": "2025-01-01", "to": "2025-01-02"}).json()
        assert answer["data"] == []
        assert answer["last_data_at"] == f"{recently():%Y-%m-%d %H:%M:%S}"


def test_an_account_without_data_has_no_newest_bucket(clean_engine: Any, reader: APIClient) -> None:
    for report in ROWS:
        answer = reader.get(f"/analytics/{report}?from=2026-01-01&to=2026-01-02").json()
        assert (answer["data"], answer["last_data_at"]) == ([], None)
        assert answer.get("totalPages", 0) == 0


def test_an_order_is_named_by_its_published_id(ask: Callable[..., Any], order: Order) -> None:
    for report in ROWS:
        assert ask(report, orderId=order.published_id).json() == ask(report).json()
        assert ask(report, orderId=str(order.pk)).status_code == 404


@pytest.mark.parametrize("report", DOCUMENTED_LIMITS)
def test_a_list_is_as_long_as_documented_when_no_limit_is_given(
    report: str, ask: Callable[..., Any], alice: User, staff: User, client_for: Callable[..., APIClient]
) -> None:
    rows = [documented_row(user_id=alice.pk, domain=f"{n}.example", error=f"E{n}", error_count=1) for n in range(101)]
    assert push(client_for(staff), rows).status_code == 204
    assert len(ask(report).json()["data"]) == DOCUMENTED_LIMITS[report]
    assert len(ask(report, limit=100).json()["data"]) == 100


@pytest.mark.parametrize("report", DOCUMENTED_LIMITS)
def test_a_limit_outside_the_documented_ones_is_named(report: str, engine: Any, reader: APIClient) -> None:
    for limit in ("0", "101", "-1", "1.0", "x", "\u0662", " 1"):
        response = reader.get(f"/analytics/{report}", {"from": "2026-01-01", "to": "2026-01-02", "limit": limit})
        assert response.status_code == 400, limit
        assert [error["field"] for error in response.json()["errors"]] == ["limit"]


@pytest.mark.parametrize("report", ROWS)
def test_both_times_are_required(report: str, engine: Any, reader: APIClient) -> None:
    response = reader.get(f"/analytics/{report}", {"to": ""})
    assert response.status_code == 400
    assert list(response.json()) == ["message", "detail", "path", "timestamp", "errors"]
    assert [error["field"] for error in response.json()["errors"]] == ["from", "to"]


def test_a_bad_row_is_named_by_index_field_and_reason(
    staff: User, engine: Any, client_for: Callable[..., APIClient]
) -> None:
    answer = push(client_for(staff), [documented_row(), documented_row(count="12")])
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["index"], error["field"], list(error)) == (1, "count", ["field", "index", "message"])


def test_a_body_that_is_not_json_is_refused_in_the_same_shape(
    staff: User, engine: Any, client_for: Callable[..., APIClient]
) -> None:
    answer = post(client_for(staff), b"logs")
    assert answer.status_code == 400
    assert list(answer.json()) == ["message", "detail", "path", "timestamp", "errors"]
