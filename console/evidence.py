"""The evidence for a usage line of the ledger: the day's traffic by hour, login and domain, and its batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from analytics import reports
from analytics.models import IngestBatch
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import DAY
from fonproxy.units import amount
from orders import selectors
from orders.models import LedgerEntry, LedgerMismatch, LedgerReason, Order

HOUR: Final = timedelta(hours=1)
MAX_LINES: Final = 100
MAX_BATCHES: Final = 50
MAX_DETAILS: Final = 100_000
COLUMNS: Final = (
    "kind", "order", "day", "hour", "login", "domain", "country", "requests", "errors", "bytes_sent", "bytes_received",
    "bytes",
)  # fmt: skip

_WHERE: Final = """user_id = {user_id:UInt64} AND order_id = {order_id:UInt64}
    AND bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}"""
_SUMS: Final = "sum(count), sum(error_count), sum(bytes_sent) AS sent, sum(bytes_received) AS received"
_HOURS: Final = f"""
SELECT toStartOfHour(bucket) AS hour, {_SUMS} FROM order_traffic WHERE {_WHERE} GROUP BY hour ORDER BY hour
"""
_LINES: Final = f"""
SELECT proxy_user_id, domain, {_SUMS}, min(bucket), max(bucket) FROM traffic
WHERE {_WHERE} AND ({{login:Int64}} < 0 OR proxy_user_id = {{login:Int64}})
GROUP BY proxy_user_id, domain ORDER BY sent + received DESC, domain, proxy_user_id LIMIT {{most:UInt32}}
"""
_LOGINS: Final = f"""
SELECT proxy_user_id, {_SUMS} FROM traffic WHERE {_WHERE}
GROUP BY proxy_user_id ORDER BY sent + received DESC, proxy_user_id LIMIT {{most:UInt32}}
"""
_DETAILS: Final = f"""
SELECT toStartOfHour(bucket) AS hour, proxy_user_id, domain, country, {_SUMS} FROM traffic WHERE {_WHERE}
GROUP BY hour, proxy_user_id, domain, country ORDER BY hour, proxy_user_id, domain, country LIMIT {{most:UInt32}}
"""
_REQUESTS: Final = """
SELECT ts, proxy_user_id, method, hostname, status_code, error, bytes_sent + bytes_received AS size FROM requests
WHERE user_id = {user_id:UInt64} AND order_id = {order_id:UInt64}
    AND ts >= {start:DateTime('UTC')} AND ts < {end:DateTime('UTC')}
    AND ({login:Int64} < 0 OR proxy_user_id = {login:Int64})
ORDER BY size DESC, ts, log_id LIMIT {most:UInt32}
"""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Requests, errors and bytes of some traffic."""

    requests: int
    errors: int
    sent: int
    received: int

    @property
    def bytes(self) -> int:
        return self.sent + self.received

    @property
    def size(self) -> str:
        return amount(self.bytes)


@dataclass(frozen=True, slots=True)
class HourLine:
    hour: datetime
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class DomainLine:
    """Traffic of one login to one domain; ``login_id`` is 0 where no login was reported."""

    login_id: int
    login: str
    domain: str
    amounts: Amounts
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class LoginTraffic:
    login_id: int
    login: str
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class RequestLine:
    at: datetime
    login: str
    method: str
    hostname: str
    status_code: int
    error: str
    size: str


@dataclass(frozen=True, slots=True)
class Day:
    """An order and a day in UTC, or one hour of it."""

    order: Order
    day: date
    hour: int | None = None

    def params(self) -> dict[str, Any]:
        start = datetime.combine(self.day, time(self.hour or 0), UTC)
        end = start + (DAY if self.hour is None else HOUR)
        return {"user_id": self.order.user_id, "order_id": self.order.pk, "start": start, "end": end}

    def retained(self, now: datetime, table: str = "traffic") -> dict[str, Any]:
        """The parameters, limited to the table's retention; an empty range once everything has expired."""
        params = self.params()
        return params | {"start": max(params["start"], retention.floor(table, now))}


def entry(day: Day) -> LedgerEntry | None:
    """The usage line of the day."""
    return LedgerEntry.objects.filter(order=day.order, reason=LedgerReason.USAGE, usage_day=day.day).first()


def measured(day: Day) -> reports.DailyTotal:
    """The day's rows in the traffic tables; raises EngineError."""
    key = (day.order.pk, day.day)
    return reports.daily_totals({key: day.order.user_id}).get(key, reports.DailyTotal(0, 0))


def hours(day: Day) -> list[HourLine]:
    """Raises EngineError."""
    whole = Day(day.order, day.day)
    rows = get_client().fetch(_HOURS, whole.params(), tag="console.evidence_hours")
    return [HourLine(hour, Amounts(*sums)) for hour, *sums in rows]


def logins(day: Day, now: datetime) -> list[LoginTraffic]:
    """Raises EngineError."""
    rows = get_client().fetch(_LOGINS, {**day.retained(now), "most": MAX_LINES}, tag="console.evidence_logins")
    names = selectors.logins_of(row[0] for row in rows)
    return [LoginTraffic(number, _login(number, names), Amounts(*sums)) for number, *sums in rows]


def domains(day: Day, login_id: int | None, now: datetime) -> list[DomainLine]:
    """The largest domains, of one login or of all; raises EngineError."""
    params = {**day.retained(now), "login": -1 if login_id is None else login_id, "most": MAX_LINES}
    rows = get_client().fetch(_LINES, params, tag="console.evidence_domains")
    names = selectors.logins_of(row[0] for row in rows)
    return [
        DomainLine(number, _login(number, names), domain, Amounts(requests, errors, sent, received), first, last)
        for number, domain, requests, errors, sent, received, first, last in rows
    ]


def requests(day: Day, login_id: int | None, now: datetime) -> list[RequestLine]:
    """The largest requests of the log, of one login or of all; raises EngineError."""
    params = {**day.retained(now, "requests"), "login": -1 if login_id is None else login_id, "most": MAX_LINES}
    rows = get_client().fetch(_REQUESTS, params, tag="console.evidence_requests")
    names = selectors.logins_of(row[1] for row in rows)
    return [
        RequestLine(at, _login(number, names), method, hostname, status, error, amount(size))
        for at, number, method, hostname, status, error, size in rows
    ]


def batches(day: Day) -> QuerySet[IngestBatch]:
    """The batches of the last day with rows of this order and day, newest first. Reads all batches of the last day."""
    pair = (
        f'[{day.order.pk}, "{day.day:%Y-%m-%d}"]'  # the form in which both databases write the JSON of ``dirty_days``
    )
    found = IngestBatch.objects.annotate(days=Cast("dirty_days", TextField())).filter(days__contains=pair)
    return found.defer("columns", "dirty_days").select_related("account").order_by("-pk")[:MAX_BATCHES]


def mismatches(day: Day) -> QuerySet[LedgerMismatch]:
    return LedgerMismatch.objects.filter(order=day.order, day=day.day)


def is_kept(day: date, now: datetime) -> bool:
    """Whether traffic of the day by login and domain is still stored."""
    return datetime.combine(day, time(), UTC) >= retention.floor("traffic", now)


def csv_rows(day: Day, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The ledger's line, the measured total, and the traffic by hour, login, domain and country, as in ``COLUMNS``.

    Raises EngineError before the first row.
    """
    order, written = day.order.published_id, f"{day.day:%Y-%m-%d}"
    total = measured(day)
    whole = Day(day.order, day.day)
    rows = get_client().fetch(_DETAILS, {**whole.retained(now), "most": MAX_DETAILS + 1}, tag="console.evidence_csv")
    names = selectors.logins_of(row[1] for row in rows)
    line = entry(day)
    recorded = (line.requests, None, None, None, -line.bytes) if line else (0, None, None, None, 0)
    result: list[tuple[Any, ...]] = [
        ("ledger", order, written, None, None, None, None, *recorded),
        ("measured", order, written, None, None, None, None, total.requests, None, None, None, total.bytes),
    ]
    result += [
        ("traffic", order, written, f"{hour:%H}:00", _login(number, names), domain, country, requests, errors, sent,
         received, sent + received)
        for hour, number, domain, country, requests, errors, sent, received in rows[:MAX_DETAILS]
    ]  # fmt: skip
    if len(rows) > MAX_DETAILS:
        result.append(("more rows than fit", order, written, *[None] * 9))
    return iter(result)


def _login(number: int, names: dict[int, str]) -> str:
    return names.get(number, "(deleted login)") if number else "(no login reported)"
