"""Traffic that was stored as sent because its user or order does not exist, or they do not belong together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from accounts import selectors
from accounts.models import User
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import BACKGROUND

LOOKED_BACK: Final = timedelta(days=90)
MOST: Final = 500

# The network of a row is known exactly when its order is. Over all accounts, hence for staff only.
_SQL: Final = """
SELECT user_id, order_id, min(bucket), max(bucket) AS last, sum(count), sum(bytes_sent) + sum(bytes_received)
FROM traffic WHERE network = '' AND bucket >= {since:DateTime('UTC')}
GROUP BY user_id, order_id ORDER BY last DESC, user_id, order_id LIMIT {most:UInt32}
"""


_ROWS: Final = "SELECT sum(rows) FROM traffic WHERE network = '' AND bucket >= {since:DateTime('UTC')}"


@dataclass(frozen=True, slots=True)
class Unattributed:
    """One pair of numbers as pushed, what came in under it, and what is wrong with it now."""

    user_id: int
    order_id: int
    first: datetime
    last: datetime
    requests: int
    bytes: int
    reason: str


def rows(since: datetime) -> int:
    """How many rows were of unattributed traffic since then. Raises EngineError."""
    [(found,)] = get_client().fetch(_ROWS, {"since": since}, tag="unattributed.rows")
    return int(found)


def latest(now: datetime) -> list[Unattributed]:
    """The pairs of the last 90 days, the most recently seen first, at most 500."""
    since = (now - LOOKED_BACK).replace(microsecond=0)
    rows = get_client().fetch(_SQL, {"since": since, "most": MOST}, profile=BACKGROUND, tag="unattributed")
    users = set(User.objects.filter(pk__in={row[0] for row in rows}).values_list("pk", flat=True))
    orders = selectors.orders_by_id({row[1] for row in rows})
    return [
        Unattributed(user_id, order_id, first, last, requests, volume, _reason(user_id, users, orders.get(order_id)))
        for user_id, order_id, first, last, requests, volume in rows
    ]


def _reason(user_id: int, users: set[int], order: selectors.OrderFacts | None) -> str:
    if order is None:
        return "no such order" if user_id in users else "no such user or order"
    if order.user_id != user_id:
        return f"the order belongs to user {order.user_id}"
    return "came in before the order was known"
