"""Who used an exit address at a time, for abuse reports. Spans all accounts: for staff only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Final

from accounts.models import User
from analytics.abuse_text import ReportedUse
from fonproxy import hostnames
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import QueryTooHeavy
from fonproxy.clickhouse.profiles import HEAVY, Profile
from fonproxy.clickhouse.text import Value
from fonproxy.timerange import GRAIN, ceil, floor
from orders import selectors
from orders.models import Order

MAX_OF_EACH: Final = 100
PER_QUERY: Final = 20
# For all queries of a report together, because a member of staff waits for them, in a thread.
REPORT_SECONDS: Final = 30

_REPORTED: Final = """
SELECT
    toUInt32({number}) AS number, replaceOne(toString(ip_out), '::ffff:', '') AS address,
    user_id, order_id, proxy_user_id, replaceOne(toString(ip_from), '::ffff:', '') AS client,
    min(bucket) AS first, max(bucket), sum(count),
    sum(bytes_sent) + sum(bytes_received), arraySort(groupUniqArray(10)(domain)), arraySort(groupUniqArray(10)(port))
FROM traffic_detail
WHERE ip_out >= toIPv6({first_{number}:String}) AND ip_out <= toIPv6({last_{number}:String})
    AND bucket >= {since_{number}:DateTime('UTC')} AND bucket < {before_{number}:DateTime('UTC')}
    AND ({domain:String} = '' OR domain = {domain:String})
GROUP BY ip_out, user_id, order_id, proxy_user_id, ip_from
ORDER BY first, address, user_id, order_id, proxy_user_id, client LIMIT {most:UInt32}
"""


@dataclass(frozen=True, slots=True)
class ExitIpUse:
    """Traffic of one client of one proxy user through the address; unknown users and orders are None."""

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


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """A query of a report, and the uses of each exit address, ordered by address; at most 100."""

    asked: ReportedUse
    uses: list[tuple[str, ExitIpUse]]

    @property
    def is_cut(self) -> bool:
        return len(self.uses) == MAX_OF_EACH


def uses_of_each(asked: list[ReportedUse], domain: str, now: datetime) -> list[ReportedResult]:
    """One result per reported use, in the same order, over whole buckets of 15 minutes. Raises EngineError.

    An empty domain means any.
    """
    rows: list[tuple[Any, ...]] = []
    deadline = monotonic() + REPORT_SECONDS
    for start in range(0, len(asked), PER_QUERY):
        profile = _heavy_until(deadline)
        rows += _reported_rows(asked, range(start, min(start + PER_QUERY, len(asked))), domain, now, profile)
    users = User.objects.in_bulk({row[2] for row in rows})
    orders = Order.objects.in_bulk({row[3] for row in rows})
    logins = selectors.logins_of(row[4] for row in rows)
    results = [ReportedResult(each, []) for each in asked]
    for number, address, user_id, order_id, login_id, *rest in rows:
        use = ExitIpUse(users.get(user_id), orders.get(order_id), user_id, order_id, logins.get(login_id, ""), *rest)
        results[number].uses.append((address, use))
    return results


def _heavy_until(deadline: float) -> Profile:
    """HEAVY with at most the whole seconds that are left; raises QueryTooHeavy if there are none."""
    left = int(deadline - monotonic())
    if left < 1:
        raise QueryTooHeavy(f"The queries of the report took {REPORT_SECONDS} seconds in total.")
    limits = dict(HEAVY.settings)
    limits["max_execution_time"] = min(int(limits["max_execution_time"]), left)
    return Profile(HEAVY.name, tuple(limits.items()))


def _reported_rows(
    asked: list[ReportedUse], numbers: range, domain: str, now: datetime, profile: Profile
) -> list[tuple[Any, ...]]:
    oldest = retention.floor("traffic_detail", now)
    params: dict[str, Value] = {"most": MAX_OF_EACH, "domain": hostnames.normalized(domain)}
    for number in numbers:
        use = asked[number]
        params[f"first_{number}"], params[f"last_{number}"] = str(use.first), str(use.last)
        params[f"since_{number}"] = max(floor(use.since, GRAIN), oldest)
        params[f"before_{number}"] = max(ceil(use.before, GRAIN), oldest)
    parts = [f"SELECT * FROM ({_REPORTED.replace('{number}', str(number))})" for number in numbers]
    return get_client().fetch(" UNION ALL ".join(parts), params, profile=profile, tag="exits.reported")
