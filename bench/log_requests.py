"""A week of many customers' single requests, and the searches' bare queries. Runs in a process with an engine."""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter
from typing import Final

from django.http import QueryDict
from django.utils import timezone

from analytics.byteful.log.queries import FIELDS, Requests
from bench.population import sizes
from fonproxy.api import search
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client

KINDS: Final = {name: kind for name, (kind, _) in FIELDS.items()}
ROWS_PER_INSERT: Final = 1_000_000


def fill(customers: int, requests: int) -> dict[str, int]:
    """Requests spread evenly over the last six days, straight into their table; the first customer has most."""
    start = int((timezone.now() - timedelta(days=6)).timestamp() * 1000)
    length = 6 * 86_400_000
    client = get_client()
    shares = sizes(customers, requests)
    for user, size in enumerate(shares, start=1):
        for first in range(0, size, ROWS_PER_INSERT):
            end = min(first + ROWS_PER_INSERT, size)
            client.command(_insert(user, size, first, end, start, length), tag="bench.fill")
    client.command("OPTIMIZE TABLE requests FINAL", tag="bench.fill")
    [(held,)] = client.fetch("SELECT count() FROM requests", tag="bench.fill")
    return {"all": held, "largest": shares[0]}


def _insert(user: int, size: int, first: int, end: int, start: int, length: int) -> str:
    return f"""
INSERT INTO requests
(
    log_id, ts, user_id, order_id, network, proxy_user_id, protocol, method, hostname, status_code, error, session_id,
    bytes_sent, bytes_received, elapsed_ms, concurrency, authentication_type, client_address, local_address, local_port,
    egress_address, country, city, asn, rows, count
)
WITH cityHash64({user}, number) AS dice, {start} + intDiv(number * {length}, {size}) AS at
SELECT
    reinterpretAsUUID(bitOr(bitShiftLeft(bitOr(toUInt128(9223372036854775808), toUInt128(intDiv(dice, 4))), 64),
        toUInt128(bitOr(bitShiftLeft(toUInt64(at), 16), 28672)))),
    fromUnixTimestamp64Milli(toInt64(at), 'UTC'), {user}, {user} * 10 + dice % 3, 'residential',
    {user} * 10 + dice % 3, 'http', 'GET', concat('www.site-', toString(intDiv(dice, 7) % 5000), '.example.com'), 200,
    dice % 25 = 0 ? 'timeout' : '', '', dice % 100000, dice % 10000000, dice % 60000, dice % 40, 1, '203.0.113.7',
    '198.51.100.1', 8080, concat('192.0.2.', toString(dice % 250)), 'DE', 'berlin', 3320, 1, 1
FROM numbers({first}, {end - first})
"""


def some_ids(user: int, count: int) -> list[str]:
    """Ids of that customer's requests, from the whole week."""
    sql = f"SELECT toString(log_id) FROM requests WHERE user_id = {user} ORDER BY cityHash64(log_id) LIMIT {count}"
    return [log_id for (log_id,) in get_client().fetch(sql, tag="bench.ids")]


def ask(user: int, query: str) -> float:
    """How long a search's queries took in seconds: the page and the count."""
    wanted = search.parse(QueryDict(query), KINDS)
    requests = Requests(user, retention.floor("requests", timezone.now()), wanted.conditions)
    started = perf_counter()
    for sql in (requests.page(wanted), requests.count(wanted)):
        get_client().fetch(sql.text, sql.params, tag="bench.search")
    return perf_counter() - started


def select_1() -> float:
    """How long the smallest possible query took, in seconds."""
    started = perf_counter()
    get_client().fetch("SELECT 1", tag="bench.one")
    return perf_counter() - started
