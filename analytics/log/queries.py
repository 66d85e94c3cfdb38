"""The questions about single requests, as SQL text and bound values. Pure: nothing is executed here.

None can be asked without an account, nor beyond the time that requests are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from accounts.models import Network
from analytics.traffic.queries import Sql
from fonproxy.api.search import (
    ID,
    LOWER_TEXT,
    MOMENT,
    NUMBER,
    TEXT,
    Condition,
    Kind,
    Operator,
    Search,
    Span,
    one_of,
)
from fonproxy.timerange import EPOCH

PROTOCOLS: Final = ("http", "socks")

# Every field in the order in which it is told, its kind, and its column. What is asked by an id is a number by then.
FIELDS: Final[Mapping[str, tuple[Kind, str]]] = {
    "log_id": (ID, "log_id"),
    "customer_id": (ID, "user_id"),
    "proxy_user_id": (ID, "proxy_user_id"),
    "service_id": (ID, "order_id"),
    "log_network": (one_of(Network.values), "network"),
    "log_protocol": (one_of(PROTOCOLS), "protocol"),
    "log_method": (TEXT, "method"),
    "log_hostname": (LOWER_TEXT, "hostname"),
    "log_status_code": (NUMBER, "status_code"),
    "log_error": (TEXT, "error"),
    "log_session_id": (TEXT, "session_id"),
    "log_total_bytes": (NUMBER, "bytes_sent + bytes_received"),
    "log_bytes_sent": (NUMBER, "bytes_sent"),
    "log_bytes_received": (NUMBER, "bytes_received"),
    "log_total_elapsed_ms": (NUMBER, "elapsed_ms"),
    "log_concurrency": (NUMBER, "concurrency"),
    "log_authentication_type": (TEXT, "authentication_type"),
    "log_client_ip_address": (LOWER_TEXT, "client_address"),
    "log_local_ip_address": (LOWER_TEXT, "local_address"),
    "log_local_port": (NUMBER, "local_port"),
    "log_egress_ip_address": (LOWER_TEXT, "egress_address"),
    "log_request_datetime": (MOMENT, "ts"),
    "country_id": (LOWER_TEXT, "lower(country)"),
    "city_alias": (TEXT, "city"),
    "asn_id": (NUMBER, "asn"),
}
COLUMNS: Final = ", ".join(column for _, column in FIELDS.values())
COMPARISONS: Final = {Operator.EQUAL: "=", Operator.NOT: "!=", Operator.MIN: ">=", Operator.MAX: "<="}


@dataclass(frozen=True, slots=True)
class Requests:
    """One account's requests from ``since`` on that meet all conditions; ids in them are numbers already."""

    user_id: int
    since: datetime
    conditions: Sequence[Condition]

    def _where(self) -> Sql:
        parts = ["user_id = {user_id:UInt64}", f"ts >= {_at('since')}"]
        params: dict[str, Any] = {"user_id": self.user_id, "since": _millis(self.since)}
        for number, condition in enumerate(self.conditions):
            part, values = _condition(condition, f"p{number}")
            parts.append(part)
            params |= values
        return Sql(" AND ".join(parts), params)

    def page(self, search: Search) -> Sql:
        """Rows of :data:`FIELDS`, in their order."""
        where = self._where()
        column = FIELDS[search.sort][1] if search.sort else "ts"
        direction = "DESC" if search.is_descending else "ASC"
        text = (
            f"SELECT {COLUMNS} FROM requests WHERE {where.text} ORDER BY {column} {direction}, toString(log_id)"
            " LIMIT {limit:UInt32} OFFSET {offset:UInt64}"
        )
        return Sql(text, {**where.params, "limit": search.per_page, "offset": search.offset})

    def count(self) -> Sql:
        where = self._where()
        return Sql(f"SELECT count() FROM requests WHERE {where.text}", where.params)


def one(user_id: int, log_id: str, at_ms: int, since: datetime) -> Sql:
    """The request of that id, found by its key."""
    text = (
        f"SELECT {COLUMNS} FROM requests WHERE user_id = {{user_id:UInt64}} AND ts = {_at('at')}"
        f" AND ts >= {_at('since')} AND log_id = toUUID({{log_id:String}})"
    )
    return Sql(text, {"user_id": user_id, "at": at_ms, "since": _millis(since), "log_id": log_id})


def _condition(condition: Condition, name: str) -> tuple[str, dict[str, Any]]:
    column = FIELDS[condition.field][1]
    value, operator = condition.value, condition.operator
    if isinstance(value, Span):
        return _in_span(operator, column, value, name)
    if operator is Operator.LIKE:
        return f"{column} ILIKE {{{name}:String}}", {name: _pattern(str(value))}
    if column == "log_id":
        return f"{column} {COMPARISONS[operator]} toUUID({{{name}:String}})", {name: value}
    kind = "Int64" if isinstance(value, int) else "String"
    return f"{column} {COMPARISONS[operator]} {{{name}:{kind}}}", {name: value}


def _in_span(operator: Operator, column: str, span: Span, name: str) -> tuple[str, dict[str, Any]]:
    since, before = f"{column} >= {_at(f'{name}a')}", f"{column} < {_at(f'{name}b')}"
    start, end = {f"{name}a": _millis(span.start)}, {f"{name}b": _millis(span.end)}
    match operator:
        case Operator.MIN:
            return since, start
        case Operator.MAX:
            return before, end
        case Operator.NOT:
            return f"NOT ({since} AND {before})", start | end
        case _:
            return f"{since} AND {before}", start | end


def _pattern(text: str) -> str:
    """``%`` stays what it is; whatever else the engine would take for a wildcard is a letter."""
    return text.replace("\\", "\\\\").replace("_", "\\_")


def _at(name: str) -> str:
    return f"fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')"


def _millis(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
