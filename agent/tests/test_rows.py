"""Aggregation neither loses nor adds anything, and always gives the same bytes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from fonproxy_agent.request import MAX_AMOUNT, Request
from fonproxy_agent.rows import aggregate, one_by_one, to_body
from hypothesis import given
from hypothesis import strategies as st

amounts = st.integers(0, 1000) | st.integers(MAX_AMOUNT - 10, MAX_AMOUNT)
requests = st.builds(
    Request,
    end_ms=st.integers(1_795_220_000_000, 1_795_220_300_000),
    duration_ms=st.integers(0, 100_000),
    login=st.sampled_from("ab"),
    domain=st.sampled_from(["", "x.example"]),
    error=st.sampled_from(["", "TCP_DENIED/407"]),
    bytes_sent=amounts,
    bytes_received=amounts,
    method=st.just("GET"),
    status=st.just(200),
    client=st.just("192.0.2.1"),
)


@given(st.lists(requests, max_size=30))
def test_rows_preserve_sums_and_respect_the_limits_of_ingest(given: list[Request]) -> None:
    rows = aggregate(given, "w")
    for name in ("bytes_sent", "bytes_received", "duration_ms"):
        assert sum(getattr(row, name) for row in rows) == sum(getattr(request, name) for request in given)
        assert all(getattr(row, name) <= MAX_AMOUNT for row in rows)
    counted: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        counted[row.proxy_user, row.domain, row.error] += row.count
        assert row.error_count == (row.count if row.error else 0)
    assert counted == Counter((request.login, request.domain, request.error) for request in given)


@given(st.lists(requests, max_size=20))
def test_rows_are_in_the_order_of_minute_login_domain_and_error(given: list[Request]) -> None:
    keys = [(row.ts, row.proxy_user, row.domain, row.error) for row in aggregate(given, "w")]
    assert keys == sorted(keys)


def test_the_body_of_known_requests_is_byte_stable() -> None:
    """A chunk that is sent again, perhaps by another process, must have the same body under the same key."""
    request = Request(1_795_220_043_689, 5, "b", "x.example", "", 184, 5338, "GET", 200, "192.0.2.1")
    assert to_body(aggregate([request, request._replace(login="a", error="TCP_DENIED/407"), request], "w")) == (
        b'{"logs":[{"ts":"2026-11-21 00:14:00","proxy_user":"a","domain":"x.example","error":"TCP_DENIED/407",'
        b'"count":1,"error_count":1,"bytes_sent":184,"bytes_received":5338,"duration_ms":5,"max_concurrency":1,'
        b'"worker":"w","protocol":"http"},{"ts":"2026-11-21 00:14:00","proxy_user":"b","domain":"x.example",'
        b'"error":"","count":2,"error_count":0,"bytes_sent":368,"bytes_received":10676,"duration_ms":10,'
        b'"max_concurrency":2,"worker":"w","protocol":"http"}]}'
    )
    assert to_body(one_by_one([request])) == (
        b'{"logs":[{"log_request_datetime":"2026-11-21 00:14:03.689","proxy_user_id":"b","log_hostname":"x.example",'
        b'"log_error":"","log_bytes_sent":184,"log_bytes_received":5338,"log_total_elapsed_ms":5,"log_concurrency":1,'
        b'"log_method":"GET","log_status_code":200,"log_client_ip_address":"192.0.2.1","log_protocol":"http"}]}'
    )


@given(st.lists(requests, min_size=1, max_size=20))
def test_concurrency_is_the_maximum_of_simultaneous_requests_of_a_login(given: list[Request]) -> None:
    for row in aggregate(given, "w"):
        mine = [request for request in given if request.login == row.proxy_user]
        moments = {at for request in mine for at in (request.end_ms - request.duration_ms, request.end_ms)}
        in_minute = [at for at in moments if f"{row.ts}" == _minute(at)]
        most = max(sum(r.end_ms - r.duration_ms <= at <= r.end_ms for r in mine) for at in in_minute)
        assert row.max_concurrency == most


@given(st.lists(requests, max_size=20))
def test_single_requests_equal_their_sums(given: list[Request]) -> None:
    rows = one_by_one(given)
    assert [row.ts for row in rows] == [_millisecond(request.end_ms) for request in given]
    peaks = {(row.proxy_user, row.ts): row.max_concurrency for row in aggregate(given, "w")}
    for row in rows:
        assert row.max_concurrency == peaks[row.proxy_user, f"{row.ts[:17]}00"]


def _millisecond(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def _minute(at: int) -> str:
    return datetime.fromtimestamp(at // 60_000 * 60, UTC).strftime("%Y-%m-%d %H:%M:%S")
