"""Traffic whose user or order does not exist or does not belong together; it is stored as sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from accounts.models import User
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import BACKGROUND
from orders import selectors

LOOKED_BACK: Final = timedelta(days=90)
MAX_RESULTS: Final = 500

# A row has a network exactly if its order is known. Spans all accounts: for staff only.
_SQL: Final = """
SELECT user_id, order_id, min(bucket), max(bucket) AS last, sum(count), sum(bytes_sent) + sum(bytes_received)
FROM traffic WHERE network = '' AND bucket >= {since:DateTime('UTC')}
GROUP BY user_id, order_id ORDER BY last DESC, user_id, order_id LIMIT {most:UInt32}
"""


_ROWS: Final = "SELECT sum(rows) FROM traffic WHERE network = '' AND bucket >= {since:DateTime('UTC')}"


@dataclass(frozen=True, slots=True)
class Unattributed:
    """A pair of user and order ids as ingested, its traffic, and the reason why it is not attributed."""

    user_id: int
    order_id: int
    first: datetime
    last: datetime
    requests: int
    bytes: int
    reason: str


def rows(since: datetime) -> int:
    """The number of unattributed rows since then. Raises EngineError."""
    [(found,)] = get_client().fetch(_ROWS, {"since": since}, tag="unattributed.rows")
    return int(found)


def latest(now: datetime) -> list[Unattributed]:
    """The pairs of the last 90 days, the most recently seen first, at most 500."""
    since = (now - LOOKED_BACK).replace(microsecond=0)
    rows = get_client().fetch(_SQL, {"since": since, "most": MAX_RESULTS}, profile=BACKGROUND, tag="unattributed")
    orders = selectors.orders_by_id({row[1] for row in rows})
    named = {row[0] for row in rows} | {order.user_id for order in orders.values()}
    users = dict(User.objects.filter(pk__in=named).values_list("pk", "username"))
    return [
        Unattributed(user_id, order_id, first, last, requests, volume, _reason(user_id, users, orders.get(order_id)))
        for user_id, order_id, first, last, requests, volume in rows
    ]


def _reason(user_id: int, users: dict[int, str], order: selectors.OrderFacts | None) -> str:
    if order is None:
        return "no such order" if user_id in users else "no such user or order"
    if order.user_id != user_id:
        return f"the order belongs to {users[order.user_id]}"
    return "was ingested before the order existed"
