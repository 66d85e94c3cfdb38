"""The static IPs of a range, and the customers whose traffic left through each of its addresses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from accounts.models import User
from fonproxy import addresses
from fonproxy.addresses import Address
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import GRAIN, floor
from fonproxy.units import amount
from geo.models import StaticIp
from orders.models import Order

MAX_ADDRESSES: Final = 1024
MAX_USES: Final = 5000

_USES: Final = """
SELECT replaceOne(toString(ip_out), '::ffff:', ''), user_id, order_id, max(bucket),
    sum(bytes_sent) + sum(bytes_received) AS size
FROM traffic_detail
WHERE ip_out >= toIPv6({first:String}) AND ip_out <= toIPv6({last:String}) AND bucket >= {since:DateTime('UTC')}
GROUP BY ip_out, user_id, order_id ORDER BY ip_out, size DESC, user_id, order_id LIMIT {most:UInt32}
"""


class InvalidRange(ValueError):
    """The text is a message for the user."""


class AddressRange(NamedTuple):
    """Addresses of one version, both ends included."""

    first: Address
    last: Address

    def texts(self) -> list[str]:
        return [str(self.first + n) for n in range(int(self.last) - int(self.first) + 1)]


def parse(text: str) -> AddressRange:
    """An address, a network such as 192.0.2.0/24, or first and last address with a dash. Raises InvalidRange."""
    try:
        if "/" in text:
            found = AddressRange(*addresses.ends_of_network(text.strip()))
        else:
            first, dash, last = text.partition("-")
            found = AddressRange(*(addresses.parse(end.strip()) for end in (first, last if dash else first)))
    except ValueError:
        raise InvalidRange("Must be a network such as 192.0.2.0/24, or two addresses with a dash.") from None
    if found.first.version != found.last.version or int(found.first) > int(found.last):
        raise InvalidRange("The last address must be of the same IP version and not before the first.")
    if int(found.last) - int(found.first) >= MAX_ADDRESSES:
        raise InvalidRange(f"Must have {MAX_ADDRESSES:,} addresses at most: an IPv4 /22.")
    return found


@dataclass(frozen=True, slots=True)
class AddressUse:
    """Traffic of an order through an address; unknown users and orders are None."""

    user: User | None
    order: Order | None
    user_id: int
    order_id: int
    last: datetime
    traffic: str


@dataclass(frozen=True, slots=True)
class RangeAddress:
    """An address that is a static IP, or was used, or both."""

    address: str
    static_ip: StaticIp | None
    uses: list[AddressUse]


def used(range_: AddressRange, since: datetime, now: datetime) -> list[RangeAddress]:
    """The addresses of the range that are static IPs or had traffic since that instant, sorted. Raises EngineError."""
    texts = range_.texts()
    static_ips = {row.address: row for row in StaticIp.objects.filter(address__in=texts)}
    uses = _uses(range_, max(floor(since, GRAIN), retention.floor("traffic_detail", now)))
    return [RangeAddress(text, static_ips.get(text), uses[text]) for text in texts if text in static_ips or uses[text]]


def _uses(range_: AddressRange, since: datetime) -> defaultdict[str, list[AddressUse]]:
    """The uses of each address, the one with most traffic first."""
    ends = {"first": str(range_.first), "last": str(range_.last)}
    rows = get_client().fetch(_USES, {**ends, "since": since, "most": MAX_USES}, tag="console.address_use")
    users = User.objects.in_bulk({row[1] for row in rows})
    orders = Order.objects.in_bulk({row[2] for row in rows})
    uses: defaultdict[str, list[AddressUse]] = defaultdict(list)
    for address, user_id, order_id, last, size in rows:
        use = AddressUse(users.get(user_id), orders.get(order_id), user_id, order_id, last, amount(size))
        uses[address].append(use)
    return uses
