"""Requests as rows of an ingest body. The same requests always give the same bytes, so that a retry repeats them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import field

from fonproxy_agent.request import MAX_AMOUNT, Request

MINUTE_MS: Final = 60_000


class MinuteRow(msgspec.Struct, frozen=True):
    """One row of ``POST /analytics/ingest``; ``ts`` is the minute in which its requests ended."""

    ts: str
    proxy_user: str
    domain: str
    error: str
    count: int
    error_count: int
    bytes_sent: int
    bytes_received: int
    duration_ms: int
    max_concurrency: int
    worker: str
    protocol: str = "http"


class RequestRow(msgspec.Struct, frozen=True):
    """One row of ``POST /log/ingest``."""

    ts: str = field(name="log_request_datetime")
    proxy_user: str = field(name="proxy_user_id")
    domain: str = field(name="log_hostname")
    error: str = field(name="log_error")
    bytes_sent: int = field(name="log_bytes_sent")
    bytes_received: int = field(name="log_bytes_received")
    duration_ms: int = field(name="log_total_elapsed_ms")
    max_concurrency: int = field(name="log_concurrency")
    method: str = field(name="log_method")
    status: int = field(name="log_status_code")
    client: str = field(name="log_client_ip_address")
    protocol: str = field(name="log_protocol", default="http")


AnyRow = MinuteRow | RequestRow


class _Group(NamedTuple):
    minute: int
    login: str
    domain: str
    error: str


class _Sums(NamedTuple):
    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    duration_ms: int = 0

    def plus(self, request: Request) -> _Sums:
        return _Sums(
            self.requests + 1,
            self.bytes_sent + request.bytes_sent,
            self.bytes_received + request.bytes_received,
            self.duration_ms + request.duration_ms,
        )

    @property
    def fits(self) -> bool:
        return max(self.bytes_sent, self.bytes_received, self.duration_ms) <= MAX_AMOUNT


def aggregate(requests: Iterable[Request], worker: str) -> list[MinuteRow]:
    """Rows per minute, login, domain and error, sorted by these; a sum too large for one row is split into several."""
    parts: defaultdict[_Group, list[_Sums]] = defaultdict(lambda: [_Sums()])
    requests = list(requests)
    for request in requests:
        group = _Group(request.end_ms // MINUTE_MS, request.login, request.domain, request.error)
        more = parts[group][-1].plus(request)
        if more.fits:
            parts[group][-1] = more
        else:
            parts[group].append(_Sums().plus(request))
    peaks = _peaks(requests)
    return [
        _row(group, sums, peaks[group.login, group.minute], worker) for group in sorted(parts) for sums in parts[group]
    ]


def one_by_one(requests: Sequence[Request]) -> list[RequestRow]:
    """One row per request, in the order of the log. Its concurrency is that of its minute, as in ``aggregate``."""
    peaks = _peaks(requests)
    return [
        RequestRow(
            ts=instant_text(request.end_ms),
            proxy_user=request.login,
            domain=request.domain,
            error=request.error,
            bytes_sent=request.bytes_sent,
            bytes_received=request.bytes_received,
            duration_ms=request.duration_ms,
            max_concurrency=peaks[request.login, request.end_ms // MINUTE_MS],
            method=request.method,
            status=request.status,
            client=request.client,
        )
        for request in requests
    ]


def _row(group: _Group, sums: _Sums, peak: int, worker: str) -> MinuteRow:
    return MinuteRow(
        ts=minute_text(group.minute),
        proxy_user=group.login,
        domain=group.domain,
        error=group.error,
        count=sums.requests,
        error_count=sums.requests if group.error else 0,
        bytes_sent=sums.bytes_sent,
        bytes_received=sums.bytes_received,
        duration_ms=sums.duration_ms,
        max_concurrency=peak,
        worker=worker,
    )


def _peaks(requests: Sequence[Request]) -> dict[tuple[str, int], int]:
    """The maximum of concurrent requests by login and minute, for every minute in which a request ended.

    A request runs from its start to its end, both included. The count changes only when a request starts or ends, and
    the first such event of a minute includes the requests that were already running.
    """
    events = [(r.login, r.end_ms - r.duration_ms, 0) for r in requests]
    events += [(r.login, r.end_ms, 1) for r in requests]
    peaks: defaultdict[tuple[str, int], int] = defaultdict(int)
    running: defaultdict[str, int] = defaultdict(int)
    for login, at, is_end in sorted(events):
        running[login] += not is_end
        minute = login, at // MINUTE_MS
        peaks[minute] = max(peaks[minute], running[login])
        running[login] -= is_end
    return peaks


def minute_text(minute: int) -> str:
    """A minute since the epoch, in the format of the ingest API."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%d %H:%M:%S")


def instant_text(at_ms: int) -> str:
    """A millisecond since the epoch, in the format of the ingest API."""
    return f"{minute_text(at_ms // MINUTE_MS)[:-2]}{at_ms % MINUTE_MS // 1000:02}.{at_ms % 1000:03}"


def to_body(rows: Sequence[AnyRow]) -> bytes:
    return msgspec.json.encode({"logs": rows})
