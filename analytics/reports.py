"""What other apps may ask of the traffic tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from fonproxy.clickhouse.client import Value, get_client
from fonproxy.clickhouse.profiles import BACKGROUND


class Total(NamedTuple):
    bytes: int
    requests: int


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
