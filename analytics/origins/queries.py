"""Sums of ``traffic_detail`` by the reported origin, and distinct clients of logins.

The table keeps 90 days and is sorted by exit address, so each query reads all rows of its months. Staff make a few
queries a day; a separate table would cost time in every insert.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from accounts.models import User
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import BACKGROUND
from fonproxy.clickhouse.text import Value
from fonproxy.timerange import Range
from orders.models import Order, Product, ProxyUser

TABLE: Final = "traffic_detail"


class OriginGroup(StrEnum):
    WORKER = "worker"
    PEER = "peer"
    EXIT_RANGE = "exitRange"
    PRODUCT = "product"
    CUSTOMER = "customer"


# IPv4 addresses are stored as IPv4-mapped IPv6 addresses.
_EXIT_RANGE: Final = """
if(
    IPv6CIDRToRange(ip_out, toUInt8(96)).1 = toIPv6('::ffff:0.0.0.0'),
    concat(replaceOne(toString(IPv6CIDRToRange(ip_out, toUInt8(120)).1), '::ffff:', ''), '/24'),
    if(ip_out = toIPv6('::'), '', concat(toString(IPv6CIDRToRange(ip_out, toUInt8(48)).1), '/48'))
)
"""
_KEYS: Final = {
    OriginGroup.WORKER: "worker",
    OriginGroup.PEER: "peer_id",
    OriginGroup.EXIT_RANGE: _EXIT_RANGE,
    OriginGroup.PRODUCT: "toString(transform(order_id, {orders:Array(UInt64)}, {products:Array(UInt64)}, toUInt64(0)))",
    OriginGroup.CUSTOMER: "toString(user_id)",
}
_TOTALS: Final = """
SELECT {key} AS key, sum(bytes_sent) AS sent, sum(bytes_received) AS received, sum(count), sum(error_count)
FROM traffic_detail
WHERE bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}
GROUP BY key ORDER BY sent + received DESC, key LIMIT {limit:UInt32}
"""
_DAYS: Final = """
SELECT {key} AS key, toDate(bucket, 'UTC') AS day, sum(bytes_sent), sum(bytes_received), sum(count), sum(error_count)
FROM traffic_detail
WHERE bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')} AND key IN {keys:Array(String)}
GROUP BY key, day ORDER BY day, key
"""
_CLIENTS: Final = """
SELECT toDate(bucket, 'UTC') AS day, proxy_user_id, uniqCombined(ip_from) AS clients, sum(count)
FROM traffic_detail
WHERE bucket >= {start:DateTime('UTC')} AND bucket < {end:DateTime('UTC')}
    AND proxy_user_id != 0 AND ip_from != toIPv6('::')
GROUP BY day, proxy_user_id HAVING clients > {above:UInt64}
ORDER BY clients DESC, day DESC, proxy_user_id LIMIT {limit:UInt32}
"""


class TrafficOrigin(NamedTuple):
    """Traffic of one worker, peer, range, product or customer; ``name`` is empty if unknown or not reported."""

    key: str
    name: str
    day: date | None
    bytes_sent: int
    bytes_received: int
    requests: int
    errors: int


class LoginClients(NamedTuple):
    """Distinct client addresses of a login on a day in UTC."""

    day: date
    proxy_user: ProxyUser | None
    clients: int
    requests: int


def origins(
    group: OriginGroup, range_: Range, limit: int, now: datetime, *, by_day: bool = False
) -> list[TrafficOrigin]:
    """The groups with most bytes in the range, each in total or by day in UTC. Raises EngineError."""
    params = _within(range_, now)
    if params is None:
        return []
    if group is OriginGroup.PRODUCT:
        products = dict(Order.objects.values_list("pk", "product_id"))
        params |= {"orders": list(products) or [0], "products": list(products.values()) or [0]}
    key = _KEYS[group]
    totals = _fetch(_TOTALS, key, {**params, "limit": limit})
    names = _names(group, [row[0] for row in totals])
    if not by_day:
        return [TrafficOrigin(found, names[found], None, *sums) for found, *sums in totals]
    if not totals:
        return []
    rows = _fetch(_DAYS, key, {**params, "keys": [row[0] for row in totals]})
    return [TrafficOrigin(found, names[found], day, *sums) for found, day, *sums in rows]


def login_clients(range_: Range, above: int, limit: int, now: datetime) -> list[LoginClients]:
    """Days on which a login had more client addresses than that, most first. Raises EngineError.

    The numbers are exact up to some thousands, then estimates. No address is returned.
    """
    params = _within(range_, now)
    if params is None:
        return []
    rows = _fetch(_CLIENTS, "", {**params, "above": above, "limit": limit})
    users = ProxyUser.objects.select_related("order__user").in_bulk({row[1] for row in rows})
    return [LoginClients(day, users.get(number), clients, requests) for day, number, clients, requests in rows]


def _within(range_: Range, now: datetime) -> dict[str, Value] | None:
    """The range as parameters, within the table's retention; None if nothing remains."""
    start = max(range_.start, retention.floor(TABLE, now))
    return {"start": start, "end": range_.end} if start < range_.end else None


def _fetch(sql: str, key: str, params: dict[str, Value]) -> list[tuple[Any, ...]]:
    return get_client().fetch(sql.replace("{key}", key), params, profile=BACKGROUND, tag="origins")


def _names(group: OriginGroup, keys: list[str]) -> dict[str, str]:
    match group:
        case OriginGroup.CUSTOMER:
            found = dict(User.objects.filter(pk__in=keys).values_list("pk", "username"))
        case OriginGroup.PRODUCT:
            found = dict(Product.objects.filter(pk__in=keys).values_list("pk", "name"))
        case _:
            return dict(zip(keys, keys, strict=True))
    return dict.fromkeys(keys, "") | {str(pk): name for pk, name in found.items()}
