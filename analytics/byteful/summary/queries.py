"""Queries of daily summaries as SQL and bound values. Pure.

The last ninety days have a row per host name, older days a row without: ``line`` is the first day with host names. When
a day passes the line, its rows become one row, created and updated at that time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from analytics.byteful.conditions import Fields, day, where
from fonproxy.api.search import (
    DATE,
    HOST,
    ID,
    LOGIN,
    MOMENT,
    NUMBER,
    Condition,
    FieldRange,
    Operator,
    Search,
    one_of,
)
from fonproxy.clickhouse.query import Sql
from fonproxy.clickhouse.retention import declared
from orders.models import Network

# A UUID of version 8 (RFC 9562): the first eight digits are the day, the other bits a hash of the row's keys. A row
# always has the same id, and the id says on which day to look for it.
_DIGEST: Final = "lower(hex(sipHash128Reference(concat(toString(proxy_user_id), '/', network, '/', hostname))))"
ID_SQL: Final = (
    f"concat(toString(toYYYYMMDD(day)), '-', substring({_DIGEST}, 1, 4), '-8', substring({_DIGEST}, 5, 3),"
    f" '-8', substring({_DIGEST}, 8, 3), '-', substring({_DIGEST}, 11, 12))"
)
ID_SHAPE: Final = re.compile(r"([0-9]{8})-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}")

# Every field in the order of the response, with its type and column.
FIELDS: Final[Fields] = {
    "log_summary_id": (ID, ID_SQL),
    "proxy_user_id": (LOGIN, "proxy_user_id"),
    "customer_id": (ID, "user_id"),
    "log_summary_network": (one_of(Network.values), "nullIf(network, '')"),
    "log_summary_hostname": (HOST, "hostname"),
    "log_summary_requests": (NUMBER, "requests"),
    "log_summary_successful": (NUMBER, "requests - least(errors, requests)"),
    "log_summary_error": (NUMBER, "errors"),
    "log_summary_bytes": (NUMBER, "bytes"),
    "log_summary_period": (DATE, "day"),
    "log_summary_creation_datetime": (MOMENT, "created"),
    "log_summary_last_update_datetime": (MOMENT, "updated"),
}
COLUMNS: Final = ", ".join(column for _, column in FIELDS.values())

KEY: Final = "user_id, day, proxy_user_id, network"
MEASURES: Final = "count, error_count, bytes_sent + bytes_received AS bytes"
# Rows older than the table of times were created at the beginning of their day.
ROWS: Final = f"""
SELECT
    {KEY}, hostname, sum(count) AS requests, sum(error_count) AS errors, sum(bytes) AS bytes,
    coalesce(min(created_at), toDateTime(day, 'UTC')) AS created,
    coalesce(max(updated_at), toDateTime(day, 'UTC')) AS updated
FROM (
    SELECT
        {KEY}, hostname, {MEASURES},
        CAST(NULL, 'Nullable(DateTime(''UTC''))') AS created_at,
        CAST(NULL, 'Nullable(DateTime(''UTC''))') AS updated_at
    FROM daily_host
    WHERE user_id = {{user_id:UInt64}} AND day >= {day("line")} AND day >= {day("first")} AND day <= {day("last")}
    UNION ALL
    SELECT {KEY}, hostname, 0, 0, 0, toNullable(created_at), toNullable(updated_at)
    FROM daily_host_times
    WHERE user_id = {{user_id:UInt64}} AND day >= {day("line")} AND day >= {day("first")} AND day <= {day("last")}
    UNION ALL
    SELECT {KEY}, '', {MEASURES}, toDateTime(day, 'UTC') + {{kept:UInt32}}, toDateTime(day, 'UTC') + {{kept:UInt32}}
    FROM daily_network
    WHERE user_id = {{user_id:UInt64}} AND day < {day("line")} AND day >= {day("first")} AND day <= {day("last")}
)
GROUP BY {KEY}, hostname
"""


@dataclass(frozen=True, slots=True)
class Summaries:
    """One account's summaries that match all conditions; ids in them are in the form that columns store."""

    user_id: int
    line: date
    conditions: Sequence[Condition]

    def page(self, search: Search) -> Sql:
        """Rows of :data:`FIELDS`, in their order."""
        column = FIELDS[search.sort][1] if search.sort else "day"
        direction = "DESC" if search.is_descending else "ASC"
        matching = self._matching()
        text = (
            f"SELECT {COLUMNS} {matching.text}"
            f" ORDER BY {column} {direction}, {ID_SQL}"
            " LIMIT {limit:UInt32} OFFSET {offset:UInt64}"
        )
        return Sql(text, {**matching.params, "limit": search.per_page, "offset": search.offset})

    def count(self) -> Sql:
        matching = self._matching()
        return Sql(f"SELECT count() {matching.text}", matching.params)

    def _matching(self) -> Sql:
        first, last = days_of(self.conditions)
        conditions = where(self.conditions, FIELDS)
        params: dict[str, Any] = {
            "user_id": self.user_id,
            "line": self.line.isoformat(),
            "first": first.isoformat(),
            "last": last.isoformat(),
            "kept": declared()["daily_host"].days * 86400,
        }
        text = f"FROM ({ROWS}) WHERE user_id = {{user_id:UInt64}}{conditions.text}"
        return Sql(text, {**params, **conditions.params})


def days_of(conditions: Sequence[Condition]) -> tuple[date, date]:
    """The first and last day that can match the conditions, so that a search reads only these."""
    first, last = date(1970, 1, 1), date(2105, 12, 31)
    for condition in conditions:
        if condition.field != "log_summary_period" or not isinstance(condition.value, FieldRange):
            continue
        if condition.operator in (Operator.EQUAL, Operator.MIN):
            first = max(first, condition.value.start.date())
        if condition.operator in (Operator.EQUAL, Operator.MAX):
            last = min(last, condition.value.end.date() - timedelta(days=1))
    return first, last


def by_id(summary_id: str) -> tuple[Condition, Condition] | None:
    """Conditions for the row of that id; None for a malformed id."""
    shape = ID_SHAPE.fullmatch(summary_id)
    try:
        at = datetime.combine(date.fromisoformat(shape[1]), time(), UTC) if shape else None
    except ValueError:
        at = None
    if at is None or not 1970 <= at.year <= 2105:
        return None
    return (
        Condition("log_summary_period", Operator.EQUAL, FieldRange(at, at + timedelta(days=1))),
        Condition("log_summary_id", Operator.EQUAL, summary_id),
    )
