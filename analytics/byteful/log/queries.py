"""Queries of single requests as SQL and bound values. Pure.

Every query needs an account and a start within the retention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from analytics.byteful.conditions import instant, millis, where
from fonproxy.addresses import canonical
from fonproxy.api.search import (
    COUNTRY,
    HOST,
    ID,
    LOGIN,
    LOWER_TEXT,
    MOMENT,
    NUMBER,
    TEXT,
    Condition,
    FieldType,
    Search,
    one_of,
)
from fonproxy.clickhouse.query import Sql
from orders.models import Network

PROTOCOLS: Final = ("http", "socks")
TIME: Final = "log_request_datetime"
MAX_COUNTED: Final = 100_000


def _address(text: str) -> str:
    try:
        return canonical(text)
    except ValueError:
        raise ValueError("Must be an IP address.") from None


ADDRESS: Final = replace(LOWER_TEXT, read=_address)

# Every field in the order of the response, with its type and column. Ids in conditions are already numbers.
# Values that were not reported are null: they match only not_ filters and sort last.
FIELDS: Final[Mapping[str, tuple[FieldType, str]]] = {
    "log_id": (ID, "toString(log_id)"),
    "customer_id": (ID, "user_id"),
    "proxy_user_id": (LOGIN, "proxy_user_id"),
    "service_id": (ID, "order_id"),
    "log_network": (one_of(Network.values), "nullIf(network, '')"),
    "log_protocol": (one_of(PROTOCOLS), "nullIf(protocol, '')"),
    "log_method": (TEXT, "nullIf(method, '')"),
    "log_hostname": (HOST, "nullIf(hostname, '')"),
    "log_status_code": (NUMBER, "nullIf(status_code, 0)"),
    "log_error": (TEXT, "nullIf(error, '')"),
    "log_session_id": (TEXT, "nullIf(session_id, '')"),
    "log_total_bytes": (NUMBER, "bytes_sent + bytes_received"),
    "log_bytes_sent": (NUMBER, "bytes_sent"),
    "log_bytes_received": (NUMBER, "bytes_received"),
    "log_total_elapsed_ms": (NUMBER, "elapsed_ms"),
    "log_concurrency": (NUMBER, "concurrency"),
    "log_authentication_type": (NUMBER, "authentication_type"),
    "log_client_ip_address": (ADDRESS, "nullIf(client_address, '')"),
    "log_local_ip_address": (ADDRESS, "nullIf(local_address, '')"),
    "log_local_port": (NUMBER, "nullIf(local_port, 0)"),
    "log_egress_ip_address": (ADDRESS, "nullIf(egress_address, '')"),
    TIME: (MOMENT, "ts"),
    "country_id": (COUNTRY, "lower(country)"),
    "city_alias": (TEXT, "nullIf(city, '')"),
    "asn_id": (NUMBER, "nullIf(asn, 0)"),
}
NULLABLE: Final = frozenset(
    name
    for name, (_, column) in FIELDS.items()
    if column.startswith("nullIf") or column in ("elapsed_ms", "concurrency", "authentication_type")
)
COLUMNS: Final = ", ".join(column for _, column in FIELDS.values())


@dataclass(frozen=True, slots=True)
class Requests:
    """One account's requests since a time that match all conditions; ids in them are numbers."""

    user_id: int
    since: datetime
    conditions: Sequence[Condition]

    def _where(self) -> Sql:
        conditions = where(self.conditions, FIELDS)
        text = f"user_id = {{user_id:UInt64}} AND ts >= {instant('since')}{conditions.text}"
        return Sql(text, {"user_id": self.user_id, "since": millis(self.since), **conditions.params})

    def page(self, search: Search) -> Sql:
        """Rows of :data:`FIELDS`, in their order."""
        where = self._where()
        column = FIELDS[search.sort][1] if search.sort else "ts"
        direction = "DESC" if search.is_descending else "ASC"
        bound = _where_page_ends(where.text, direction) if column == "ts" else ""
        text = (
            f"SELECT {COLUMNS} FROM requests WHERE {where.text}{bound}"
            f" ORDER BY {column} {direction}, toString(log_id) LIMIT {{limit:UInt32}} OFFSET {{offset:UInt64}}"
        )
        bounds = {"limit": search.per_page, "offset": search.offset, "until": search.offset + search.per_page}
        return Sql(text, {**where.params, **bounds})

    def count(self, search: Search) -> Sql:
        """Their number; with conditions other than the time at most MAX_COUNTED, or one more than the pages so far
        show.

        For the time alone the engine counts whole ranges of the index. Any other condition makes it read every row, so
        it stops when there are enough: a client that goes from page to page still sees every row.
        """
        where = self._where()
        if all(condition.field == TIME for condition in self.conditions):
            return Sql(f"SELECT count() FROM requests WHERE {where.text}", where.params)
        text = f"SELECT count() FROM (SELECT 1 FROM requests WHERE {where.text} LIMIT {{most:UInt64}})"
        return Sql(text, {**where.params, "most": max(MAX_COUNTED, search.offset + search.per_page) + 1})


def _where_page_ends(where: str, direction: str) -> str:
    """A condition that excludes rows beyond the page: ten times faster for a large customer.

    Rows are stored by time, so the time of the page's last row is found without reading further. Sorting by id among
    equal times would otherwise sort all rows.
    """
    last, beyond = ("min", ">=") if direction == "DESC" else ("max", "<=")
    return (
        f" AND ts {beyond} (SELECT {last}(ts) FROM (SELECT ts FROM requests WHERE {where}"
        f" ORDER BY user_id {direction}, ts {direction} LIMIT {{until:UInt64}}))"
    )


def by_id(user_id: int, log_id: str, at_ms: int, since: datetime) -> Sql:
    """The request of that id, by primary key."""
    text = (
        f"SELECT {COLUMNS} FROM requests WHERE user_id = {{user_id:UInt64}} AND ts = {instant('at')}"
        f" AND ts >= {instant('since')} AND log_id = toUUID({{log_id:String}})"
    )
    return Sql(text, {"user_id": user_id, "at": at_ms, "since": millis(since), "log_id": log_id})
