"""The contents of the stores, to compare with what was acknowledged to clients; and whether everything is done."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.serving import manage
from tests.stack.load import Customer

UNFINISHED: Final = (
    "SELECT count(*) FROM analytics_ingestbatch WHERE created_at < {} AND (settled_at IS NULL OR NOT is_accounted)"
)
# Every row goes to all of these, and to one of the other two, depending on how it arrived.
TABLES: Final = (
    "traffic",
    "order_traffic",
    "login_traffic",
    "minute_traffic",
    "daily_host",
    "daily_host_times",
    "daily_network",
    "traffic_detail",
)
BY_WAY: Final = ("requests", "unlogged_traffic")
CONNECT_SECONDS: Final = 5

# Run in a process of the product's own, on the stores as they are.
COUNT: Final = """
import json
from datetime import UTC, datetime
from django.db.models import Sum
from orders.models import LedgerEntry, ProxyUser, LedgerReason
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.retention import declared
from fonproxy.timerange import floor
found = {}
for table in TABLES:
    kept = declared()[table]
    sql = f"SELECT sum(rows), sum(count) FROM {table} WHERE {kept.column} >= {{since:DateTime('UTC')}}"
    since = floor(datetime.fromtimestamp(SINCE, UTC), kept.grain)
    [found[table]] = get_client().fetch(sql, {"since": since}, tag="tests")
lines = LedgerEntry.objects.filter(reason=LedgerReason.USAGE).order_by().values_list("order")
lines = lines.annotate(Sum("bytes"), Sum("requests"))
logins = dict(ProxyUser.objects.values_list("order", "login"))
ledger = {logins[order]: (-size, requests) for order, size, requests in lines}
print(json.dumps({"tables": found, "ledger": ledger}))
close_client()
"""


def held(directory: Path, since: datetime, **settings: str) -> dict[str, Any]:
    """Rows and requests of every table since then, and bytes and requests of every order's ledger by its login."""
    tables = (*TABLES, *BY_WAY)
    found = manage(
        directory,
        "shell",
        "-v",
        "0",
        "-c",
        f"TABLES, SINCE = {tables!r}, {int(since.timestamp())}\n{COUNT}",
        **settings,
    )
    assert found.returncode == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def right(account: Customer) -> dict[str, Any]:
    """What ``held`` must return if this is everything that was ever acknowledged."""
    traffic, log = account.rows["traffic"], account.rows["log"]
    everything = [traffic + log, account.requests.total()]
    return {
        "tables": {
            **dict.fromkeys(TABLES, everything),
            "requests": [log, log],
            "unlogged_traffic": [traffic, everything[1] - log],
        },
        "ledger": {login: [account.carried[login], account.requests[login]] for login in account.requests},
    }


def unfinished(database: str | Path, before: datetime) -> int:
    """Batches accepted before this time that ClickHouse or the ledger lacks, in PostgreSQL or an SQLite file."""
    if isinstance(database, str):
        with psycopg.connect(database, connect_timeout=CONNECT_SECONDS) as server:
            [waiting] = server.execute(UNFINISHED.format("%s"), [before]).fetchone() or [0]
    else:
        with closing(sqlite3.connect(database, timeout=20)) as file:
            [waiting] = file.execute(UNFINISHED.format("?"), [str(before.astimezone(UTC))[:26]]).fetchone()
    return int(waiting)
