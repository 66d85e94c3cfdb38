"""One customer's page: usage, orders, logins, keys, alerts, errors, ledger, notes and audit entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Q, QuerySet

from accounts import audit_trail
from accounts.audit_trail import Author
from accounts.models import ApiKey, AuditRecord, User
from analytics import reports
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import DAY, EPOCH, GRAIN, Interval, TimeGrid, days, floor
from fonproxy.units import amount, gigabytes
from orders import enforcement, ledger, selectors
from orders.models import SESSION_SILENCE, CutOff, LedgerEntry, Order, ProxySession, ProxyUser
from usage import subscriptions
from usage.models import Firing

CHART_DAYS: Final = 30
CHART_WIDTH: Final = 600
CHART_HEIGHT: Final = 60
MAX_ROWS: Final = 10
MAX_ORDERS: Final = 50
NOTE: Final = "Note: "
UTC_ZONE: Final = ZoneInfo("UTC")

_LAST_USE: Final = """
SELECT proxy_user_id, max(day), sum(bytes_sent) + sum(bytes_received) FROM daily_network
WHERE user_id = {user_id:UInt64} AND day >= {since:Date} GROUP BY proxy_user_id
"""
_ERRORS: Final = """
SELECT error, sum(error_count) AS errors, max(bucket), topKWeighted(3)(domain, error_count) FROM traffic
WHERE user_id = {user_id:UInt64} AND bucket >= {since:DateTime('UTC')} AND error != ''
GROUP BY error ORDER BY errors DESC, error LIMIT {most:UInt32}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of the chart, in the chart's coordinates."""

    day: date
    x: float
    y: float
    width: float
    height: float
    traffic: str
    requests: int


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Traffic of the last 30 days by day, with totals."""

    bars: list[Bar]
    today: str
    week: str
    month: str
    before: str
    last_at: datetime | None

    @property
    def is_empty(self) -> bool:
        return not any(bar.requests or bar.height for bar in self.bars)


def usage_line(user: User, now: datetime) -> UsageLine | None:
    """None when ClickHouse is unavailable."""
    today = now.astimezone(UTC).date()
    range_ = days(today - (2 * CHART_DAYS - 1) * DAY, today, UTC_ZONE)
    try:
        found = reports.over_time(user.pk, range_, TimeGrid.over(range_, Interval.DAY, UTC_ZONE))
        last_at = reports.newest_bucket(user.pk)
    except EngineError:
        return None
    by_day = {(EPOCH + timedelta(seconds=key.local)).date(): usage for key, usage in found.items()}
    sizes = [by_day.get(today - n * DAY, reports.Usage()) for n in reversed(range(2 * CHART_DAYS))]
    shown, sums = sizes[CHART_DAYS:], [usage.bytes for usage in sizes]
    most = max(max(usage.bytes for usage in shown), 1)
    width = CHART_WIDTH / CHART_DAYS
    bars = [
        Bar(
            today - (CHART_DAYS - 1 - n) * DAY,
            round(n * width, 1),
            round(CHART_HEIGHT - (height := usage.bytes * CHART_HEIGHT / most), 1),
            round(width * 0.8, 1),
            round(height, 1),
            amount(usage.bytes),
            usage.requests,
        )
        for n, usage in enumerate(shown)
    ]
    month, before = sum(sums[CHART_DAYS:]), sum(sums[:CHART_DAYS])
    return UsageLine(bars, amount(sums[-1]), amount(sum(sums[-7:])), amount(month), amount(before), last_at)


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An order with its remaining traffic; amounts as text. ``percent_left`` is None without a limit."""

    order: Order
    state: CutOff.State
    left: str
    limit: str
    percent_left: int | None
    runs_out_at: datetime | None

    @property
    def is_active(self) -> bool:
        return self.state is CutOff.State.ACTIVE


def order_lines(orders: list[Order], now: datetime) -> list[OrderLine]:
    """The orders in the same order; takes four queries for any number."""
    allowances = subscriptions.accounts_of(orders)
    balances = ledger.balances([order.pk for order in orders])
    run_out = subscriptions.projected_exhaustions(orders, allowances, now)
    return [
        OrderLine(
            order,
            enforcement.state_of(order, balances[order.pk], now),
            "" if allowance.left is None else gigabytes(allowance.left),
            "" if allowance.limit is None else gigabytes(allowance.limit),
            None if allowance.left is None or not allowance.limit else 100 * allowance.left // allowance.limit,
            run_out[order.pk],
        )
        for order in orders
        for allowance in [allowances[order.pk]]
    ]


@dataclass(frozen=True, slots=True)
class LoginLine:
    login: ProxyUser
    last_day: date | None
    traffic: str
    sessions: int


def login_lines(user: User, now: datetime) -> tuple[list[LoginLine], int]:
    """The first logins with the day of their last use within 90 days, and the number of all."""
    logins = list(selectors.proxy_users_of(user.pk)[:MAX_ORDERS])
    running = ProxySession.objects.filter(
        login__in=[login.login for login in logins], ended_at=None, seen_at__gt=now - SESSION_SILENCE
    )
    sessions = dict(running.order_by().values_list("login").annotate(Count("pk")))
    since = now.astimezone(UTC).date() - 90 * DAY
    try:
        rows = get_client().fetch(_LAST_USE, {"user_id": user.pk, "since": since}, tag="console.last_use")
    except EngineError:
        rows = []
    used = {number: (day, size) for number, day, size in rows}
    lines = [
        LoginLine(login, day, amount(size) if day else "", sessions.get(login.login, 0))
        for login in logins
        for day, size in [used.get(login.pk, (None, 0))]
    ]
    return lines, selectors.proxy_users_of(user.pk).count()


@dataclass(frozen=True, slots=True)
class ErrorLine:
    error: str
    number: int
    last_at: datetime
    domains: list[str]


def recent_errors(user: User, now: datetime) -> list[ErrorLine] | None:
    """The most frequent errors of the last day; None when ClickHouse is unavailable."""
    params: dict[str, Any] = {"user_id": user.pk, "since": floor(now - DAY, GRAIN), "most": MAX_ROWS}
    try:
        rows = get_client().fetch(_ERRORS, params, tag="console.errors")
    except EngineError:
        return None
    return [ErrorLine(error, number, last, [*domains]) for error, number, last, domains in rows]


def firings(user: User) -> QuerySet[Firing]:
    """The customer's newest firings with their recipients."""
    found = Firing.objects.filter(alert__order__user=user).select_related("alert__order")
    return found.prefetch_related("deliveries").order_by("-fired_at")[:MAX_ROWS]


def ledger_lines(user: User) -> list[tuple[LedgerEntry, str]]:
    """The newest lines of all orders, each with its amount as text."""
    found = LedgerEntry.objects.filter(order__in=list(user.orders.values_list("pk", flat=True)))
    lines = found.select_related("order").order_by("-period_date", "-pk")[:MAX_ROWS]
    return [(line, amount(line.bytes)) for line in lines]


def keys(user: User) -> QuerySet[ApiKey]:
    return user.api_keys.order_by("revoked_at", "-pk")[:MAX_ROWS]


def notes(user: User) -> list[tuple[LogEntry, str]]:
    """Notes about the customer, newest first, each with its text."""
    entries = _entries([(User, [user.pk])]).filter(change_message__startswith=NOTE)
    return [(entry, entry.change_message.removeprefix(NOTE).rpartition(" (from ")[0]) for entry in entries]


def log_entries(user: User) -> QuerySet[LogEntry]:
    """Actions of staff on the customer, the orders and keys, without notes; newest first."""
    about = [
        (User, [user.pk]),
        (Order, user.orders.values_list("pk", flat=True)),
        (ApiKey, user.api_keys.values_list("pk", flat=True)),
    ]
    return _entries(about).exclude(change_message__startswith=NOTE)[:MAX_ROWS]


def audit_records(user: User) -> list[tuple[AuditRecord, Author]]:
    """Changes made through the API and by staff, newest first, each with its author."""
    orders = Q(kind=AuditRecord.Kind.ORDER, number__in=list(user.orders.values_list("pk", flat=True)))
    rows = AuditRecord.objects.filter(Q(kind=AuditRecord.Kind.USER, number=user.pk) | orders).order_by("-pk")[:MAX_ROWS]
    authors = audit_trail.authors_of(rows)
    return [(row, authors[row.pk]) for row in rows]


def _entries(about: Iterable[tuple[type[Any], Iterable[int]]]) -> QuerySet[LogEntry]:
    conditions = Q(pk__in=[])
    for model, numbers in about:
        kind = ContentType.objects.get_for_model(model)
        conditions |= Q(content_type=kind, object_id__in=[str(number) for number in numbers])
    return LogEntry.objects.filter(conditions).select_related("user", "content_type").order_by("-pk")
