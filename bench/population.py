"""Two months of many customers' traffic, made inside the engine. Runs in a process with an engine.

Everything follows from the numbers of customers and rows: the same call makes the same data. Customers are ranked by
their traffic, a few have most of it. A customer is active in some of the quarters of an hour, and has several rows in
each: in slot ``s`` one of ``s + 1`` domains that occur in no other slot. So no two rows collapse, low slots hold few
domains that come often, and high slots hold many that come seldom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fonproxy.clickhouse.client import get_client

DAYS: Final = 62
QUARTERS: Final = DAYS * 96
ROWS_PER_INSERT: Final = 1_000_000
FLATNESS: Final = 0.5
ACTIVITY: Final = 0.65
READ_TABLES: Final = ("traffic", "order_traffic", "daily_host")
# The views whose tables no read queries: without them the data take a fraction of the time to make.
IDLE_VIEWS: Final = (
    "login_traffic_view",
    "late_traffic_view",
    "minute_traffic_view",
    "daily_network_view",
    "traffic_detail_view",
    "daily_host_times_view",
    "unlogged_traffic_view",
)


@dataclass(frozen=True, slots=True)
class Share:
    """Some of a customer's rows: those numbered ``first`` up to ``end``, of ``rows`` in all."""

    user_id: int
    rows: int
    first: int
    end: int

    def to_sql(self) -> str:
        active = min(QUARTERS, int(self.rows**ACTIVITY) + 1)
        return f"({self.user_id}, {active}, {self.first}, {self.end})"


def sizes(customers: int, rows: int) -> list[int]:
    """How many rows each customer has, largest first; with a thousand customers, a tenth belongs to the first."""
    weights = [1 / (rank + FLATNESS) for rank in range(1, customers + 1)]
    return [int(rows * weight / sum(weights)) for weight in weights]


def fill(customers: int, rows: int, start: datetime, thinned_but: int | None = None) -> dict[str, int]:
    """Makes the rows of all customers, and returns how many the tables then hold.

    ``thinned_but`` leaves out nine tenths of the rows of everybody but that customer.
    """
    shares = []
    for user_id, size in enumerate(sizes(customers, rows), start=1):
        kept = size if thinned_but in (None, user_id) else size // 10
        steps = range(0, kept, ROWS_PER_INSERT)
        shares += [Share(user_id, size, first, min(first + ROWS_PER_INSERT, kept)) for first in steps]
    client = get_client()
    for view in IDLE_VIEWS:
        client.command(f"DETACH TABLE {view}", tag="bench.fill")
    for batch in _batches(shares):
        client.command(_insert(batch, start), tag="bench.fill")
    for view in IDLE_VIEWS:
        client.command(f"ATTACH TABLE {view}", tag="bench.fill")
    for table in READ_TABLES:
        client.command(f"OPTIMIZE TABLE {table} FINAL", tag="bench.fill")
    return {table: _count(table) for table in READ_TABLES}


def _count(table: str) -> int:
    [(rows,)] = get_client().fetch(f"SELECT count() FROM {table}", tag="bench.fill")
    return int(rows)


def _batches(shares: list[Share]) -> Iterator[list[Share]]:
    batch: list[Share] = []
    for share in shares:
        batch.append(share)
        if sum(one.end - one.first for one in batch) >= ROWS_PER_INSERT:
            yield batch
            batch = []
    if batch:
        yield batch


def _insert(shares: list[Share], start: datetime) -> str:
    return f"""
INSERT INTO inbox
(
    ts, user_id, order_id, network, proxy_user_id, country, port, protocol, ip_out, ip_from, peer_id, worker, domain,
    error, count, bytes_sent, bytes_received, error_count, duration_ms, max_concurrency, recent
)
WITH
    intDiv(number % active * {QUARTERS}, active) AS quarter,
    intDiv(number, active) AS slot,
    cityHash64(user, number) AS dice,
    intDiv(slot * (slot + 1), 2) + dice % (slot + 1) AS name,
    intDiv(dice, 1000) % 100 < 4 AS is_error
SELECT
    toDateTime({int(start.timestamp())} + quarter * 900, 'UTC') AS ts,
    user AS user_id,
    user * 10 + intDiv(dice, 7) % 3 AS order_id,
    'residential' AS network,
    order_id AS proxy_user_id,
    ['US', 'DE', 'GB', 'FR', 'BR', 'IN', 'JP', 'NL'][1 + intDiv(dice, 100) % 8] AS country,
    443 AS port,
    'HTTPS' AS protocol,
    concat('198.51.100.', toString(dice % 64)) AS ip_out,
    '203.0.113.7' AS ip_from,
    '' AS peer_id,
    'worker-1' AS worker,
    concat('www.site-', toString(name), '.example.com') AS domain,
    is_error ? ['connect_timeout', 'dns_failure', 'refused', 'reset'][1 + intDiv(dice, 11) % 4] : '' AS error,
    1 + dice % 50 AS count,
    dice % 100000 AS bytes_sent,
    dice % 10000000 AS bytes_received,
    is_error AS error_count,
    dice % 60000 AS duration_ms,
    dice % 40 AS max_concurrency,
    0 AS recent
FROM values('user UInt64, active UInt64, first UInt64, end UInt64', {", ".join(share.to_sql() for share in shares)})
ARRAY JOIN range(first, end) AS number
"""
