"""What other apps may ask of the traffic tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from analytics.traffic.queries import Chart, Measure, Scope
from fonproxy.clickhouse.client import Value, get_client
from fonproxy.clickhouse.profiles import BACKGROUND
from fonproxy.timerange import Axis, Edge, Range, floor


class Total(NamedTuple):
    bytes: int
    requests: int


class Carried(NamedTuple):
    """What was carried: bytes both ways, requests, and errors among them."""

    bytes: int = 0
    requests: int = 0
    errors: int = 0

    def __add__(self, other: tuple[int, ...]) -> Carried:  # type: ignore[override]  # adds up, instead of appending
        size, requests, errors = other
        return Carried(self.bytes + size, self.requests + requests, self.errors + errors)


class Place(NamedTuple):
    """Where something was carried."""

    order_id: int
    country: str


class Live(NamedTuple):
    """The last minutes; response times in milliseconds, ``active`` by country."""

    minute: Carried
    hour: Carried
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


BY_PLACE: Final = """
SELECT order_id, country, sum(bytes_sent) + sum(bytes_received), sum(count), sum(error_count)
FROM order_traffic
WHERE {where}
GROUP BY order_id, country
"""

FIRST: Final = """
SELECT bucket FROM order_traffic WHERE user_id = {user_id:UInt64} ORDER BY user_id, bucket LIMIT 1
"""

LIVE: Final = """
SELECT
    minute = {now:DateTime('UTC')} AS is_now,
    sum(bytes_sent) + sum(bytes_received), sum(count), sum(error_count), sum(duration_ms)
FROM minute_traffic
WHERE user_id = {user_id:UInt64} AND minute > {since:DateTime('UTC')} AND minute <= {now:DateTime('UTC')}
GROUP BY is_now
"""

# What several rows of one worker report of one minute, order and country are looks at the same connections.
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

OF_EVERYBODY: Final = """
SELECT uniqExact(user_id), sum(count), sum(bytes_sent) + sum(bytes_received) FROM order_traffic
WHERE bucket >= {since:DateTime('UTC')}
"""

EVERYTHING: Final = """
SELECT user_id, order_id, sum(bytes_sent) + sum(bytes_received) FROM order_traffic
WHERE order_id IN {orders:Array(UInt64)} GROUP BY user_id, order_id
"""

MINUTE: Final = timedelta(minutes=1)
CHARTED: Final = (Measure.BYTES_TOTAL, Measure.COUNT, Measure.ERRORS)


def by_place(user_id: int, range_: Range, order_id: int | None = None) -> dict[Place, Carried]:
    """What the account carried in the range, by order and country. Raises EngineError."""
    if range_.is_empty:
        return {}
    where = Scope(user_id, range_, order_id).where()
    rows = get_client().fetch(BY_PLACE.replace("{where}", where.text), where.params, tag="reports.by_place")
    return {Place(order, country): Carried(*metrics) for order, country, *metrics in rows}


def over_time(user_id: int, range_: Range, axis: Axis, order_id: int | None = None) -> dict[Edge, Carried]:
    """The same by point of the axis, without the empty ones. Raises EngineError."""
    if range_.is_empty:
        return {}
    sql = Chart(Scope(user_id, range_, order_id), axis, CHARTED).to_sql()
    rows = get_client().fetch(sql.text, sql.params, tag="reports.over_time")
    return {Edge(segment, local): Carried(*metrics) for segment, local, *metrics, _ in rows}


def first_bucket(user_id: int) -> datetime | None:
    """The account's oldest bucket. Raises EngineError."""
    rows = get_client().fetch(FIRST, {"user_id": user_id}, tag="reports.first_bucket")
    return rows[0][0] if rows else None


def live(user_id: int, now: datetime) -> Live:
    """What happens at the moment. Raises EngineError.

    A worker that has reported in this minute is taken at that; of one that has not, the minute before counts.
    """
    minute = floor(now, MINUTE)
    at: dict[str, Value] = {"user_id": user_id, "now": minute}
    rows = get_client().fetch(LIVE, {**at, "since": minute - 60 * MINUTE}, tag="reports.live")
    hour = sum((Carried(*metrics) for _, *metrics, _ in rows), Carried())
    current = next((Carried(*metrics) for is_now, *metrics, _ in rows if is_now), Carried())
    reported = get_client().fetch(ACTIVE, {**at, "before": minute - MINUTE}, tag="reports.active")
    newest = {worker: max(at for name, at, *_ in reported if name == worker) for worker, *_ in reported}
    active: Counter[str] = Counter()
    for worker, at_minute, country, connections in reported:
        if at_minute == newest[worker]:
            active[country] += connections
    return Live(current, hour, sum(row[-1] for row in rows), dict(+active))


class Everybody(NamedTuple):
    """What all accounts carried together."""

    customers: int
    requests: int
    bytes: int


def of_everybody(since: datetime) -> Everybody:
    """Over all accounts, hence for staff only. Raises EngineError."""
    [row] = get_client().fetch(OF_EVERYBODY, {"since": since}, tag="reports.of_everybody")
    return Everybody(*row)


def ever_carried(orders: Mapping[int, int]) -> dict[int, int]:
    """All bytes of each order by what is in the engine; ``orders`` maps them to their users. Raises EngineError."""
    rows = get_client().fetch(EVERYTHING, {"orders": list(orders)}, profile=BACKGROUND, tag="reports.ever_carried")
    found = {order_id: size for user_id, order_id, size in rows if orders.get(order_id) == user_id}
    return dict.fromkeys(orders, 0) | found


def all_daily_totals(users: Mapping[int, int]) -> dict[tuple[int, date], Total]:
    """Bytes and requests of every (order id, day in UTC) with traffic; ``users`` maps orders to their users."""
    params: dict[str, Value] = {
        "users": sorted(set(users.values())),
        "pair_users": list(users.values()),
        "pair_orders": list(users),
    }
    rows = get_client().fetch(ALL_DAYS, params, profile=BACKGROUND, tag="reports.all_daily_totals")
    return {(order_id, day): Total(size, requests) for order_id, day, size, requests in rows}


def daily_totals(pairs: Mapping[tuple[int, date], int]) -> dict[tuple[int, date], Total]:
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
    return {(order_id, day): Total(size, requests) for order_id, day, size, requests in rows}
