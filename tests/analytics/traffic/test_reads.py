"""Filters, totals and comparison of the reads under ``/analytics/``, and their time zones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from orders.models import Order
from tests.analytics.helpers import documented_row, push

REPORTS = ("traffic", "requests", "concurrency", "domains", "errors", "countries", "websites")
BEFORE_CLOCKS_GO_BACK = datetime(2026, 10, 28, 12, tzinfo=UTC)
RANGE = {"from": "2026-10-24", "to": "2026-10-26", "tz": "Europe/Berlin", "interval": "1d"}


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Any) -> Order:
    return make_order(alice, logins=("alice-1", "alice-2"))


@pytest.fixture
def pushed(order: Order, worker: User, client_for: Callable[..., APIClient]) -> Callable[..., None]:
    client = client_for(worker, "ingest")

    def push_rows(*rows: dict[str, Any]) -> None:
        owner = {"user_id": order.user_id, "order_id": order.pk}
        assert push(client, [documented_row(**owner, **row) for row in rows]).status_code == 204

    return push_rows


@pytest.fixture
def ask(alice: User, client_for: Callable[..., APIClient]) -> Callable[..., Any]:
    def get(report: str, status: int = 200, **query: Any) -> Any:
        answer = client_for(alice).get(f"/analytics/{report}", query)
        assert answer.status_code == status, answer.content
        return answer.json()

    return get


def row(ts: str, **changes: Any) -> dict[str, Any]:
    return {"ts": ts, "count": 1, "bytes_sent": 1, "bytes_received": 2, "country": "DE", **changes}


def buckets(answer: Any) -> dict[str, str]:
    return {point["bucket"]: point["total_count"] for point in answer["data"]}


@pytest.fixture
def autumn(time_machine: Any) -> Any:
    time_machine.move_to(BEFORE_CLOCKS_GO_BACK, tick=False)


@pytest.mark.usefixtures("autumn")
def test_dates_are_local_days(pushed: Callable[..., None], ask: Callable[..., Any]) -> None:
    """Berlin's clocks go back on 25 October: the three days have 73 hours."""
    pushed(
        row("2026-10-23T21:59:59Z", count=1),
        row("2026-10-23T22:00:00Z", count=10),
        row("2026-10-26T22:59:59Z", count=100),
        row("2026-10-26T23:00:00Z", count=1000),
    )
    days = {"2026-10-24 00:00:00": "10", "2026-10-25 00:00:00": "0", "2026-10-26 00:00:00": "100"}
    assert buckets(ask("traffic", **RANGE, fill="true")) == days
    without_zone = {**RANGE, "from": "2026-10-24T00:00:00", "to": "2026-10-27 00:00:00"}
    assert buckets(ask("traffic", **without_zone, fill="true")) == days
    in_utc = {**RANGE, "from": "2026-10-23T22:00:00Z", "to": "2026-10-27T00:00:00+01:00"}
    assert buckets(ask("traffic", **in_utc, fill="true")) == days
    assert sum(map(int, buckets(ask("traffic", **{**RANGE, "tz": ""})).values())) == 1100


@pytest.mark.usefixtures("autumn")
@pytest.mark.parametrize("days", [62, 63])
def test_the_two_month_limit_is_applied_in_local_time(days: int, ask: Callable[..., Any], order: Order) -> None:
    first = datetime(2026, 8, 26, tzinfo=UTC)
    query = {"from": f"{first:%Y-%m-%d}", "to": f"{first + timedelta(days=days):%Y-%m-%d}", "tz": "Europe/Berlin"}
    assert ask("traffic", 200 if days == 62 else 400, **query)


@pytest.mark.usefixtures("autumn")
def test_sixty_two_days_across_a_clock_change_are_accepted(ask: Callable[..., Any], order: Order) -> None:
    """Lord Howe's clocks go forward by half an hour on 4 October."""
    query = {"from": "2026-08-13T23:00:00Z", "to": "2026-10-14T23:00:00Z", "tz": "Australia/Lord_Howe"}
    assert ask("traffic", **query)


@pytest.mark.usefixtures("autumn")
def test_an_unknown_zone_is_reported_instead_of_the_times(ask: Callable[..., Any], order: Order) -> None:
    assert [error["field"] for error in ask("traffic", 400, **{**RANGE, "tz": "Mars/Base"})["errors"]] == ["tz"]


@pytest.mark.usefixtures("autumn")
@pytest.mark.parametrize("report", REPORTS)
def test_country_and_login_filter_every_report(
    report: str, pushed: Callable[..., None], ask: Callable[..., Any], order: Order, bob: User, make_order: Any
) -> None:
    make_order(bob, logins=("bob-1",))
    at = "2026-10-25T12:00:00Z"
    common = {"error": "E", "error_count": 1, "max_concurrency": 1}
    pushed(
        row(at, **common, proxy_user="alice-1", country="UK"),
        row(at, **common, proxy_user="alice-2", country="DE"),
        row(at, **common, proxy_user="alice-2", country="QM"),
    )
    measure = {"errors": "total_errors"}.get(report, "total_count")
    for query, found in (
        ({}, 3),
        ({"country": "gb"}, 1),
        ({"country": "UK"}, 1),
        ({"country": "zz"}, 1),
        ({"proxyUser": "alice-2"}, 2),
        ({"proxyUser": "alice-2", "country": "de"}, 1),
        ({"proxyUser": "alice-1", "domain": "GOOGLE.com."}, 1),
        ({"proxyUser": "bob-1"}, 0),
        ({"proxyUser": "nobody\0"}, 0),
        ({"orderId": order.published_id, "country": "FR"}, 0),
    ):
        span = {"from": "2026-10-25", "to": "2026-10-25"}
        answer = ask(report, **span, **query)
        assert sum(int(line[measure]) for line in answer["data"]) == int(answer["totals"][measure]) == found, query
    assert [error["field"] for error in ask(report, 400, **span, country="Germany")["errors"]] == ["country"]


@pytest.mark.usefixtures("autumn")
@pytest.mark.parametrize("asked", ["xn--mnchen-3ya.example", "MÜNCHEN.example.", "münchen.example"])
def test_spellings_of_a_host_are_one_website(asked: str, pushed: Callable[..., None], ask: Callable[..., Any]) -> None:
    at, span = "2026-10-25T12:00:00Z", {"from": "2026-10-25", "to": "2026-10-25"}
    spellings = ("münchen.example", "MÜNCHEN.example.", "xn--mnchen-3ya.example", "XN--MNCHEN-3YA.example.")
    pushed(*(row(at, domain=domain) for domain in (*spellings, "dot.example", "Dot.example.")))
    for report in ("websites", "domains"):
        found = {line["domain"]: line["total_count"] for line in ask(report, **span)["data"]}
        assert found == {"münchen.example": "4", "dot.example": "2"}
        assert [line["domain"] for line in ask(report, **span, domain=asked)["data"]] == ["münchen.example"]


@pytest.mark.usefixtures("autumn")
@pytest.mark.parametrize("report", REPORTS)
def test_a_download_is_named_by_report_and_dates(
    report: str, order: Order, alice: User, client_for: Callable[..., APIClient]
) -> None:
    api = client_for(alice)
    download = api.get(f"/analytics/{report}", {**RANGE, "format": "csv"})
    assert download["Content-Disposition"] == f'attachment; filename="{report}_2026-10-24_2026-10-26.csv"'
    assert download.content.startswith(b"\xef\xbb\xbf")
    answer = api.get(f"/analytics/{report}", RANGE, HTTP_ACCEPT="text/csv")
    assert b"\xef\xbb\xbf" + answer.content == download.content


@pytest.mark.usefixtures("autumn")
def test_totals_cover_the_range_and_not_only_the_listed_rows(
    pushed: Callable[..., None], ask: Callable[..., Any]
) -> None:
    at = "2026-10-25T12:00:00Z"
    pushed(*(row(at, domain=f"{n}.example", country=code) for n, code in enumerate(("DE", "FR", "US"))))
    span = {"from": "2026-10-25", "to": "2026-10-25"}
    for report, query in (
        ("domains", {"limit": 1}),
        ("countries", {"limit": 1}),
        ("websites", {"limit": 2, "page": 2}),
        ("websites", {"page": 9}),
    ):
        assert ask(report, **span, **query)["totals"]["total_count"] == "3", report


@pytest.mark.usefixtures("autumn")
def test_countries_are_ranked_by_bytes_or_requests(pushed: Callable[..., None], ask: Callable[..., Any]) -> None:
    at = "2026-10-25T12:00:00Z"
    pushed(row(at, country="DE", bytes_sent=100), row(at, country="FR", count=5), row(at, country="ES", count=5))
    span = {"from": "2026-10-25", "to": "2026-10-25"}
    assert [line["country"] for line in ask("countries", **span)["data"]] == ["DE", "ES", "FR"]
    assert [line["country"] for line in ask("countries", **span, sortBy="count")["data"]] == ["ES", "FR", "DE"]
    assert [line["country"] for line in ask("countries", **span, sortBy="count", limit=1)["data"]] == ["ES"]
    assert ask("countries", **span)["data"][0] == {
        "country": "DE",
        "total_count": "1",
        "bytes_total": "102",
        "total_errors": "0",
    }


@pytest.mark.usefixtures("autumn")
def test_a_chart_is_compared_point_by_point_with_the_period_before(
    pushed: Callable[..., None], ask: Callable[..., Any]
) -> None:
    pushed(
        row("2026-10-21T10:00:00Z", count=7),
        row("2026-10-23T21:00:00Z", count=3),
        row("2026-10-24T10:00:00Z", count=5),
        row("2026-10-20T21:59:00Z", count=99),
    )
    answer = ask("traffic", **RANGE, compare="previous")
    assert buckets(answer) == {"2026-10-24 00:00:00": "5", "2026-10-25 00:00:00": "0", "2026-10-26 00:00:00": "0"}
    assert [(point["bucket"], point["total_count"]) for point in answer["previous"]["data"]] == [
        ("2026-10-21 00:00:00", "7"),
        ("2026-10-22 00:00:00", "0"),
        ("2026-10-23 00:00:00", "3"),
    ]
    assert answer["previous"]["totals"]["total_count"] == "10"
    assert answer["totals"]["total_count"] == "5"


@pytest.mark.usefixtures("autumn")
def test_a_range_is_compared_with_the_same_days_of_last_year(
    pushed: Callable[..., None], ask: Callable[..., Any]
) -> None:
    pushed(
        row("2025-10-23T21:59:00Z", count=99),
        row("2025-10-23T22:00:00Z", count=7),
        row("2025-10-26T22:59:00Z", count=3),
        row("2026-10-24T10:00:00Z", count=5),
    )
    query = {"from": "2026-10-24", "to": "2026-10-26", "tz": "Europe/Berlin", "compare": "last_year"}
    answer = ask("traffic", **query, interval="1d")
    assert [(point["bucket"], point["total_count"]) for point in answer["previous"]["data"]] == [
        ("2025-10-24 00:00:00", "7"),
        ("2025-10-25 00:00:00", "0"),
        ("2025-10-26 00:00:00", "3"),
    ]
    assert (answer["totals"]["total_count"], answer["previous"]["totals"]["total_count"]) == ("5", "10")
    assert ask("domains", **query)["previous"]["totals"]["total_count"] == "10"
    assert ask("traffic", 400, **{**query, "compare": "next_year"})


@pytest.mark.usefixtures("autumn")
def test_hours_are_compared_with_the_same_time_of_day_across_a_clock_change(
    pushed: Callable[..., None], ask: Callable[..., Any]
) -> None:
    """On 25 October 02:00 comes twice in Berlin; both are compared as one hour of the day before the 26th."""
    pushed(
        row("2026-10-25T00:30:00Z", count=1, max_concurrency=4),
        row("2026-10-25T01:30:00Z", count=2, max_concurrency=3),
        row("2026-10-25T11:00:00Z", count=8),
        row("2026-10-26T11:00:00Z", count=16),
    )
    query = {"from": "2026-10-26", "to": "2026-10-26", "tz": "Europe/Berlin", "interval": "1h", "compare": "previous"}
    answer = ask("concurrency", **query)
    pairs = list(zip(answer["data"], answer["previous"]["data"], strict=True))
    assert len(pairs) == 24
    assert all(now["bucket"][11:] == then["bucket"][11:] for now, then in pairs)
    assert (pairs[2][1]["total_count"], pairs[2][1]["max_concurrency"]) == ("3", "4")
    assert (pairs[12][0]["total_count"], pairs[12][1]["total_count"]) == ("16", "8")


@pytest.mark.usefixtures("autumn")
def test_today_is_compared_with_the_same_hours_of_yesterday(
    pushed: Callable[..., None], ask: Callable[..., Any]
) -> None:
    pushed(
        row("2026-10-23T09:00:00Z", count=2),
        row("2026-10-23T19:00:00Z", count=99),
        row("2026-10-24T09:00:00Z", count=5),
    )
    query = {"from": "2026-10-24T00:00:00", "to": "2026-10-24T18:20:00", "interval": "1h", "compare": "previous"}
    answer = ask("requests", **query)
    pairs = list(zip(answer["data"], answer["previous"]["data"], strict=True))
    assert (pairs[9][0]["total_count"], pairs[9][1]["total_count"]) == ("5", "2")
    assert (answer["totals"]["total_count"], answer["previous"]["totals"]["total_count"]) == ("5", "2")
    assert ask("domains", **query)["previous"]["totals"]["total_count"] == "2"


@pytest.mark.usefixtures("autumn")
def test_websites_are_sorted_by_bytes_if_requested(pushed: Callable[..., None], ask: Callable[..., Any]) -> None:
    pushed(
        row("2026-10-25T12:00:00Z", domain="many.example", count=9, bytes_sent=1, bytes_received=0),
        row("2026-10-25T12:00:00Z", domain="large.example", count=1, bytes_sent=2, bytes_received=3),
    )
    day = {"from": "2026-10-25", "to": "2026-10-25"}
    assert [line["domain"] for line in ask("websites", **day)["data"]] == ["many.example", "large.example"]
    by_bytes = [line["domain"] for line in ask("websites", **day, sortBy="bytes")["data"]]
    assert by_bytes == ["large.example", "many.example"]
    assert ask("websites", 400, **day, sortBy="name")


@pytest.mark.usefixtures("autumn")
@pytest.mark.parametrize(
    ("report", "column"), [("domains", "domain"), ("countries", "country"), ("websites", "domain")]
)
def test_a_ranking_is_compared_name_by_name(
    report: str, column: str, pushed: Callable[..., None], ask: Callable[..., Any]
) -> None:
    pushed(
        row("2026-10-25T12:00:00Z", domain="a.example", country="DE", count=4),
        row("2026-10-25T12:00:00Z", domain="b.example", country="FR", count=2),
        row("2026-10-24T12:00:00Z", domain="b.example", country="FR", count=3),
        row("2026-10-24T12:00:00Z", domain="c.example", country="US", count=9),
    )
    answer = ask(report, **{"from": "2026-10-25", "to": "2026-10-25", "compare": "previous"})
    assert [line["total_count"] for line in answer["data"]] == ["4", "2"]
    assert [line[column] for line in answer["previous"]["data"]] == [line[column] for line in answer["data"]]
    assert [line["total_count"] for line in answer["previous"]["data"]] == ["0", "3"]
    assert answer["previous"]["totals"]["total_count"] == "12"


@pytest.mark.usefixtures("autumn")
@pytest.mark.parametrize("report", REPORTS)
def test_an_empty_range_compares_with_nothing(report: str, ask: Callable[..., Any], order: Order) -> None:
    moment = "2026-10-25T12:00:00"
    answer = ask(report, **{"from": moment, "to": moment, "compare": "previous"})
    assert answer["data"] == answer["previous"]["data"] == []
    assert set(answer["totals"].values()) == set(answer["previous"]["totals"].values()) == {"0"}
    assert ask(report, 400, **{"from": moment, "to": moment, "compare": "next"})
