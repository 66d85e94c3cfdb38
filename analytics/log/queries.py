"""The questions about single requests, as SQL text and bound values. Pure: nothing is executed here.

None can be asked without an account, nor beyond the time that requests are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from accounts.models import Network
from analytics.addresses import canonical
from analytics.conditions import instant, millis, where
from analytics.traffic.queries import Sql
from fonproxy.api.search import ID, LOWER_TEXT, MOMENT, NUMBER, TEXT, Condition, Kind, Search, one_of

PROTOCOLS: Final = ("http", "socks")


def _address(text: str) -> str:
    try:
        return canonical(text)
    except ValueError:
        return text.lower()  # it finds nothing


ADDRESS: Final = replace(LOWER_TEXT, read=_address)

# Every field in the order in which it is told, its kind, and its column. What is asked by an id is a number by then.
# What was not told is null, so that it meets no condition but not_ and is sorted last.
FIELDS: Final[Mapping[str, tuple[Kind, str]]] = {
    "log_id": (ID, "toString(log_id)"),
    "customer_id": (ID, "user_id"),
    "proxy_user_id": (ID, "proxy_user_id"),
    "service_id": (ID, "order_id"),
    "log_network": (one_of(Network.values), "network"),
    "log_protocol": (one_of(PROTOCOLS), "protocol"),
    "log_method": (TEXT, "nullIf(method, '')"),
    "log_hostname": (LOWER_TEXT, "hostname"),
    "log_status_code": (NUMBER, "nullIf(status_code, 0)"),
    "log_error": (TEXT, "nullIf(error, '')"),
    "log_session_id": (TEXT, "nullIf(session_id, '')"),
    "log_total_bytes": (NUMBER, "bytes_sent + bytes_received"),
    "log_bytes_sent": (NUMBER, "bytes_sent"),
    "log_bytes_received": (NUMBER, "bytes_received"),
    "log_total_elapsed_ms": (NUMBER, "elapsed_ms"),
    "log_concurrency": (NUMBER, "concurrency"),
    "log_authentication_type": (TEXT, "nullIf(authentication_type, '')"),
    "log_client_ip_address": (ADDRESS, "nullIf(client_address, '')"),
    "log_local_ip_address": (ADDRESS, "nullIf(local_address, '')"),
    "log_local_port": (NUMBER, "nullIf(local_port, 0)"),
    "log_egress_ip_address": (ADDRESS, "nullIf(egress_address, '')"),
    "log_request_datetime": (MOMENT, "ts"),
    "country_id": (LOWER_TEXT, "lower(country)"),
    "city_alias": (TEXT, "nullIf(city, '')"),
    "asn_id": (NUMBER, "nullIf(asn, 0)"),
}
COLUMNS: Final = ", ".join(column for _, column in FIELDS.values())


@dataclass(frozen=True, slots=True)
class Requests:
    """One account's requests from ``since`` on that meet all conditions; ids in them are numbers already."""

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

    def count(self) -> Sql:
        where = self._where()
        return Sql(f"SELECT count() FROM requests WHERE {where.text}", where.params)


def _where_page_ends(where: str, direction: str) -> str:
    """Leaves out what lies beyond the page, a tenth of the time for a large customer.

    Rows lie in the order of their times, so the last one of the page is found by reading no further than to it; the
    order among equals is not theirs, so all rows would be sorted without this.
    """
    last, beyond = ("min", ">=") if direction == "DESC" else ("max", "<=")
    return (
        f" AND ts {beyond} (SELECT {last}(ts) FROM (SELECT ts FROM requests WHERE {where}"
        f" ORDER BY user_id {direction}, ts {direction} LIMIT {{until:UInt64}}))"
    )


def one(user_id: int, log_id: str, at_ms: int, since: datetime) -> Sql:
    """The request of that id, found by its key."""
    text = (
        f"SELECT {COLUMNS} FROM requests WHERE user_id = {{user_id:UInt64}} AND ts = {instant('at')}"
        f" AND ts >= {instant('since')} AND log_id = toUUID({{log_id:String}})"
    )
    return Sql(text, {"user_id": user_id, "at": at_ms, "since": millis(since), "log_id": log_id})
