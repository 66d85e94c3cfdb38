"""Queries on the traffic tables for other apps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from analytics.charts import NEWEST, Chart, Metric, TrafficScope
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import BACKGROUND
from fonproxy.clickhouse.text import Value
from fonproxy.timerange import EPOCH, BucketKey, Range, TimeGrid, floor
from orders.limits import Used, Windows


class DailyTotal(NamedTuple):
    bytes: int
    requests: int


class Usage(NamedTuple):
    """Bytes of both directions, requests and errors."""

    bytes: int = 0
    requests: int = 0
    errors: int = 0

    def __add__(self, other: tuple[int, ...]) -> Usage:  # type: ignore[override]  # sums, instead of concatenating
        size, requests, errors = other
        return Usage(self.bytes + size, self.requests + requests, self.errors + errors)


class OrderCountry(NamedTuple):
    """The order and country of some usage."""

    order_id: int
    country: str


class RecentUsage(NamedTuple):
    """Usage of the current minute and the last hour; durations in milliseconds, open connections by country."""

    minute: Usage
    hour: Usage
    hour_duration_ms: int
    active: dict[str, int]


DAILY: Final = """
SELECT order_id, toDate(bucket, 'UTC') AS day, sum(bytes_sent) + sum(bytes_received), sum(count)
FROM order_traffic
WHERE user_id IN {users:Array(UInt64)}
    AND bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}
    AND (user_id, order_id, day) IN (
        SELECT arrayJoin(arrayZip(
            {pair_users:Array(UInt64)}, {pair_orders:Array(UInt64)}, arrayMap(d -> toDate(d), {pair_days:Array(String)})
        ))
    )
GROUP BY order_id, day
"""

ALL_DAYS: Final = """
SELECT order_id, toDate(bucket, 'UTC') AS day, sum(bytes_sent) + sum(bytes_received), sum(count)
FROM order_traffic
WHERE user_id IN {users:Array(UInt64)}
    AND (user_id, order_id) IN (
        SELECT arrayJoin(arrayZip({pair_users:Array(UInt64)}, {pair_orders:Array(UInt64)}))
    )
GROUP BY order_id, day
"""


BY_ORDER_AND_COUNTRY: Final = """
SELECT order_id, country, sum(bytes_sent) + sum(bytes_received), sum(count), sum(error_count)
FROM order_traffic
WHERE {where}
GROUP BY order_id, country
"""

FIRST: Final = """
SELECT bucket FROM order_traffic WHERE user_id = {user_id:UInt64} ORDER BY user_id, bucket LIMIT 1
"""

RECENT_USAGE: Final = """
SELECT
    minute = {now:DateTime('UTC')} AS is_now,
    sum(bytes_sent) + sum(bytes_received), sum(count), sum(error_count), sum(duration_ms)
FROM minute_traffic
WHERE user_id = {user_id:UInt64} AND minute > {since:DateTime('UTC')} AND minute <= {now:DateTime('UTC')}
GROUP BY is_now
"""

# Several rows of a worker for one minute, order and country report the same connections, so their maximum counts.
ACTIVE: Final = """
SELECT worker, minute, country, sum(active)
FROM (
    SELECT worker, minute, order_id, country, max(max_concurrency) AS active
    FROM minute_traffic
    WHERE user_id = {user_id:UInt64} AND minute >= {before:DateTime('UTC')} AND minute <= {now:DateTime('UTC')}
    GROUP BY worker, minute, order_id, country
)
GROUP BY worker, minute, country
"""

PLATFORM_TOTALS: Final = """
SELECT uniqExact(user_id), sum(count), sum(bytes_sent) + sum(bytes_received) FROM order_traffic
WHERE bucket >= {since:DateTime('UTC')}
"""

LIFETIME_BYTES: Final = """
SELECT user_id, order_id, sum(bytes_sent) + sum(bytes_received) FROM order_traffic
WHERE order_id IN {orders:Array(UInt64)} GROUP BY user_id, order_id
"""

BYTES_BETWEEN: Final = """
SELECT order_id, sum(bytes_sent) + sum(bytes_received) FROM order_traffic
WHERE user_id IN {users:Array(UInt64)} AND bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}
    AND (user_id, order_id) IN (
        SELECT arrayJoin(arrayZip({pair_users:Array(UInt64)}, {pair_orders:Array(UInt64)}))
    )
GROUP BY order_id
"""

ERRORS_BETWEEN: Final = """
SELECT user_id, order_id, sum(error_count), sum(count) FROM order_traffic
WHERE user_id IN {users:Array(UInt64)} AND order_id IN {orders:Array(UInt64)}
    AND bucket >= {start:DateTime('UTC')} AND bucket <= {now:DateTime('UTC')}
GROUP BY user_id, order_id
"""

USED_BY_LOGINS: Final = """
SELECT
    proxy_user_id,
    sumIf(bytes_sent + bytes_received, bucket >= {day:DateTime('UTC')} AND bucket < {next_day:DateTime('UTC')}),
    sumIf(bytes_sent + bytes_received, bucket >= {month:DateTime('UTC')} AND bucket < {next_month:DateTime('UTC')}),
    sum(bytes_sent) + sum(bytes_received)
FROM login_traffic
WHERE user_id IN {users:Array(UInt64)} AND bucket >= {since:DateTime('UTC')}
    AND (user_id, proxy_user_id) IN (
        SELECT arrayJoin(arrayZip({pair_users:Array(UInt64)}, {pair_logins:Array(UInt64)}))
    )
GROUP BY proxy_user_id
"""

TOP_DOMAINS: Final = """
SELECT domain, sum(bytes_sent) + sum(bytes_received) AS size, sum(count) FROM traffic
WHERE {where} AND domain != ''
GROUP BY domain ORDER BY size DESC, domain LIMIT {limit:UInt32}
"""

MINUTE: Final = timedelta(minutes=1)
CHARTED: Final = (Metric.BYTES_TOTAL, Metric.COUNT, Metric.ERRORS)


def by_order_and_country(user_id: int, range_: Range, order_id: int | None = None) -> dict[OrderCountry, Usage]:
    """The account's usage in the range by order and country. Raises EngineError."""
    if range_.is_empty:
        return {}
    where = TrafficScope(user_id, range_, order_id).where()
    rows = get_client().fetch(
        BY_ORDER_AND_COUNTRY.replace("{where}", where.text), where.params, tag="reports.by_order_and_country"
    )
    return {OrderCountry(order, country): Usage(*metrics) for order, country, *metrics in rows}


def over_time(user_id: int, range_: Range, axis: TimeGrid, order_id: int | None = None) -> dict[BucketKey, Usage]:
    """The account's usage by point of the grid, without empty points. Raises EngineError."""
    if range_.is_empty:
        return {}
    sql = Chart(TrafficScope(user_id, range_, order_id), axis, CHARTED).to_sql()
    rows = get_client().fetch(sql.text, sql.params, tag="reports.over_time")
    return {BucketKey(segment, local): Usage(*metrics) for segment, local, *metrics, _ in rows}


def newest_bucket(user_id: int) -> datetime | None:
    """The account's newest bucket, which may be up to a day ahead. Raises EngineError."""
    [(newest,)] = get_client().fetch(f"SELECT {NEWEST}", {"user_id": user_id}, tag="reports.newest_bucket")
    found: datetime | None = newest
    return found


def first_bucket(user_id: int) -> datetime | None:
    """The account's oldest bucket. Raises EngineError."""
    rows = get_client().fetch(FIRST, {"user_id": user_id}, tag="reports.first_bucket")
    return rows[0][0] if rows else None


def recent_usage(user_id: int, now: datetime) -> RecentUsage:
    """Usage of the current minute and the last hour. Raises EngineError.

    A worker's connections are those it reported for this minute, else for the previous one.
    """
    minute = floor(now, MINUTE)
    at: dict[str, Value] = {"user_id": user_id, "now": minute}
    rows = get_client().fetch(RECENT_USAGE, {**at, "since": minute - 60 * MINUTE}, tag="reports.recent_usage")
    hour = sum((Usage(*metrics) for _, *metrics, _ in rows), Usage())
    current = next((Usage(*metrics) for is_now, *metrics, _ in rows if is_now), Usage())
    reported = get_client().fetch(ACTIVE, {**at, "before": minute - MINUTE}, tag="reports.active")
    newest = {worker: max(at for name, at, *_ in reported if name == worker) for worker, *_ in reported}
    active: Counter[str] = Counter()
    for worker, at_minute, country, connections in reported:
        if at_minute == newest[worker]:
            active[country] += connections
    return RecentUsage(current, hour, sum(row[-1] for row in rows), dict(+active))


class PlatformTotals(NamedTuple):
    """Usage of all accounts together."""

    customers: int
    requests: int
    bytes: int


def platform_totals(since: datetime) -> PlatformTotals:
    """Usage of all accounts since that instant; for staff only. Raises EngineError."""
    [row] = get_client().fetch(PLATFORM_TOTALS, {"since": since}, tag="reports.platform_totals")
    return PlatformTotals(*row)


def lifetime_bytes(orders: Mapping[int, int]) -> dict[int, int]:
    """The total bytes of each order; ``orders`` maps orders to their users. Raises EngineError."""
    rows = get_client().fetch(
        LIFETIME_BYTES, {"orders": list(orders)}, profile=BACKGROUND, tag="reports.lifetime_bytes"
    )
    found = {order_id: size for user_id, order_id, size in rows if orders.get(order_id) == user_id}
    return dict.fromkeys(orders, 0) | found


def bytes_between(orders: Mapping[int, int], start: datetime, end: datetime) -> dict[int, int]:
    """Bytes of each order from one instant to another; ``orders`` maps orders to their users. Raises EngineError."""
    params: dict[str, Value] = {
        "users": sorted(set(orders.values())),
        "pair_users": list(orders.values()),
        "pair_orders": list(orders),
        "start": start,
        "end": end,
    }
    rows = get_client().fetch(BYTES_BETWEEN, params, profile=BACKGROUND, tag="reports.bytes_between")
    return dict.fromkeys(orders, 0) | dict(rows)


def errors_between(orders: Mapping[int, int], start: datetime, now: datetime) -> dict[int, tuple[int, int]]:
    """Errors and requests of each order with traffic in these buckets; ``orders`` maps orders to their users.

    Raises EngineError.
    """
    params: dict[str, Value] = {
        "users": sorted(set(orders.values())),
        "orders": list(orders),
        "start": start,
        "now": floor(now, timedelta(seconds=1)),
    }
    rows = get_client().fetch(ERRORS_BETWEEN, params, profile=BACKGROUND, tag="reports.errors_between")
    return {order_id: (errors, count) for user_id, order_id, errors, count in rows if orders.get(order_id) == user_id}


def used_by_logins(logins: Mapping[int, int], windows: Windows, *, ever: bool) -> dict[int, Used]:
    """Bytes of each proxy user in that day and month, and in total; ``logins`` maps proxy users to their users.

    Without ``ever`` the total is not read; it is then that of the month. Raises EngineError.
    """
    if not logins:
        return {}
    params: dict[str, Value] = {
        "users": sorted(set(logins.values())),
        "pair_users": list(logins.values()),
        "pair_logins": list(logins),
        "day": windows.day,
        "next_day": windows.next_day,
        "month": windows.month,
        "next_month": windows.next_month,
        "since": EPOCH if ever else windows.month,
    }
    rows = get_client().fetch(USED_BY_LOGINS, params, profile=BACKGROUND, tag="reports.used_by_logins")
    return dict.fromkeys(logins, Used()) | {login: Used(*sizes) for login, *sizes in rows}


def top_domains(user_id: int, range_: Range, limit: int) -> list[tuple[str, int, int]]:
    """The account's domains with most bytes in the range, with bytes and requests. Raises EngineError."""
    where = TrafficScope(user_id, range_).where()
    rows = get_client().fetch(
        TOP_DOMAINS.replace("{where}", where.text),
        {**where.params, "limit": limit},
        profile=BACKGROUND,
        tag="reports.top_domains",
    )
    return [(domain, size, count) for domain, size, count in rows]


def all_daily_totals(users: Mapping[int, int]) -> dict[tuple[int, date], DailyTotal]:
    """Bytes and requests of every (order id, day in UTC) with traffic; ``users`` maps orders to their users."""
    params: dict[str, Value] = {
        "users": sorted(set(users.values())),
        "pair_users": list(users.values()),
        "pair_orders": list(users),
    }
    rows = get_client().fetch(ALL_DAYS, params, profile=BACKGROUND, tag="reports.all_daily_totals")
    return {(order_id, day): DailyTotal(size, requests) for order_id, day, size, requests in rows}


def daily_totals(pairs: Mapping[tuple[int, date], int]) -> dict[tuple[int, date], DailyTotal]:
    """Bytes and requests of each (order id, day in UTC); the mapping's values are the orders' users.

    Pairs without traffic are left out. Raises EngineError.
    """
    if not pairs:
        return {}
    days = [day for _, day in pairs]
    params: dict[str, Value] = {
        "users": sorted(set(pairs.values())),
        "start": datetime.combine(min(days), time(), UTC),
        "end": datetime.combine(max(days), time(), UTC) + timedelta(days=1),
        "pair_users": list(pairs.values()),
        "pair_orders": [order_id for order_id, _ in pairs],
        "pair_days": [day.isoformat() for day in days],
    }
    rows = get_client().fetch(DAILY, params, profile=BACKGROUND, tag="reports.daily_totals")
    return {(order_id, day): DailyTotal(size, requests) for order_id, day, size, requests in rows}
