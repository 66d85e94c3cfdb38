"""Who used an exit address at a time: the answer to an abuse complaint, over all accounts, hence for staff only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from accounts import selectors
from accounts.models import Order, User
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import BACKGROUND
from fonproxy.timerange import GRAIN, ceil, floor

MOST: Final = 500

_SQL: Final = """
SELECT
    user_id, order_id, proxy_user_id, replaceOne(toString(ip_from), '::ffff:', '') AS client,
    min(bucket), max(bucket) AS last, sum(count), sum(bytes_sent) + sum(bytes_received),
    arraySort(groupUniqArray(10)(domain)), arraySort(groupUniqArray(10)(port))
FROM traffic_detail
WHERE ip_out = toIPv6({address:String}) AND bucket >= {since:DateTime('UTC')} AND bucket < {before:DateTime('UTC')}
    AND ({domain:String} = '' OR domain = {domain:String})
GROUP BY user_id, order_id, proxy_user_id, ip_from
ORDER BY last DESC, user_id, order_id, proxy_user_id, client LIMIT {most:UInt32}
"""


@dataclass(frozen=True, slots=True)
class Use:
    """What one client of one proxy user did through the address; user and order are None when there are none such."""

    user: User | None
    order: Order | None
    user_id: int
    order_id: int
    login: str
    client: str
    first: datetime
    last: datetime
    requests: int
    bytes: int
    domains: list[str]
    ports: list[int]


def uses_of(address: str, at: datetime, within: timedelta, domain: str, now: datetime) -> list[Use]:
    """The latest first, at most 500, in the quarters of an hour that lie within that of the time. Raises EngineError.

    An empty domain stands for any.
    """
    rows = get_client().fetch(
        _SQL,
        {
            "address": address,
            "since": max(floor(at - within, GRAIN), retention.floor("traffic_detail", now)),
            "before": ceil(at + within + timedelta(microseconds=1), GRAIN),
            "domain": domain.lower(),
            "most": MOST,
        },
        profile=BACKGROUND,
        tag="exits",
    )
    users = User.objects.in_bulk({row[0] for row in rows})
    orders = Order.objects.in_bulk({row[1] for row in rows})
    logins = selectors.logins_of(row[2] for row in rows)
    return [
        Use(users.get(user_id), orders.get(order_id), user_id, order_id, logins.get(proxy_user_id, ""), *rest)
        for user_id, order_id, proxy_user_id, *rest in rows
    ]
