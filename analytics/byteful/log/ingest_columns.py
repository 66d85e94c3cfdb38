"""The body of ``POST /log/ingest`` as columns of the request inbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
from django.conf import settings

from analytics.byteful.log.ingest_row import LOG
from analytics.ids import new_ids
from analytics.ingest import columns as ingest_columns
from analytics.ingest import lists
from analytics.ingest.attribution import MISSING, AttributionMap
from analytics.ingest.checks import Columns
from analytics.ingest.columns import REQUEST_SCHEMA
from analytics.ingest.decode import parse
from analytics.ingest.lists import Rows
from fonproxy.addresses import canonical
from fonproxy.clickhouse import retention
from fonproxy.hostnames import all_normalized

ADDRESSES: Final = ("client_address", "local_address", "egress_address")
# Columns with another name than in a pushed row.
RENAMED: Final = {
    "hostname": "domain",
    "elapsed_ms": "duration_ms",
    "concurrency": "max_concurrency",
    "client_address": "ip_from",
    "local_address": "ip_local",
    "local_port": "port",
    "egress_address": "ip_out",
}


def to_request_inbox(body: bytes, now: datetime) -> pa.Table:
    """The rows as columns, each with its new id; raises what ``parse`` raises."""
    return pa.table(_inbox(*_parsed(body, now), now), schema=REQUEST_SCHEMA)


def pushed_requests(body: bytes, now: datetime) -> Rows:
    """The same as lists when there are few rows."""
    columns, directory = _parsed(body, now)
    if 0 < len(columns["who"]) <= lists.MAX_ROWS:
        return to_lists(columns, directory, now)
    return pa.table(_inbox(columns, directory, now), schema=REQUEST_SCHEMA)


def to_lists(columns: Columns, directory: AttributionMap, now: datetime) -> lists.Lists:
    """Checked columns as lists, each row with its new id."""
    return lists.of_columns(_inbox(columns, directory, now))


def _parsed(body: bytes, now: datetime) -> tuple[Columns, AttributionMap]:
    return parse(LOG, body, oldest=retention.floor("requests", now), now=now, max_rows=settings.INGEST_MAX_ROWS)


def _inbox(columns: Columns, directory: AttributionMap, now: datetime) -> dict[str, Any]:
    at_ms = columns["ts"].cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64())
    given = {name: columns.get(RENAMED.get(name, name)) for name in REQUEST_SCHEMA.names}
    inbox = {
        **given,
        **ingest_columns.attributed(columns["who"], directory),
        "log_id": list(new_ids(at_ms.to_pylist())),
        "at_ms": at_ms,
        **_each_way(columns),
        "hostname": all_normalized(columns["domain"]),
        **{name: _canonical(columns[RENAMED[name]]) for name in ADDRESSES},
        "protocol": [protocol or "" for protocol in columns["protocol"]],
        "country": ingest_columns.countries_of_rows(columns["country"], columns["ip_out"]),
        "recent": ingest_columns.is_kept_in("minute_traffic", columns["ts"], now),
        "taken_at": ingest_columns.taken_at(now, len(at_ms)),
    }
    return {name: inbox[name] for name in REQUEST_SCHEMA.names}


def _each_way(columns: Columns) -> dict[str, list[int]]:
    """Bytes sent and received. A direction that is missing is the rest of the total; without both, all was received."""
    sent, received = columns["bytes_sent"], columns["bytes_received"]
    if MISSING in sent or MISSING in received:
        rows = zip(sent, received, columns["total_bytes"], strict=True)
        sent, received = zip(*(_completed(*row) for row in rows), strict=True)
    return {"bytes_sent": sent, "bytes_received": received}


def _completed(sent: int, received: int, total: int | None) -> tuple[int, int]:
    if received == MISSING:
        received = max((total or 0) - max(sent, 0), 0)
    if sent == MISSING:
        sent = max((total or 0) - received, 0)
    return sent, received


def _canonical(addresses: Sequence[str]) -> list[str]:
    known = {text: canonical(text) if text else "" for text in set(addresses)}
    return [known[text] for text in addresses]
