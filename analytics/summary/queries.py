"""The questions about daily summaries, as SQL text and bound values. Pure: nothing is executed here.

Of the last ninety days there is a row per host name, of those before one without: ``line`` is the first day of the
former. When such a day passes the line, its rows are put together; that is when the row without a host name begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from accounts.models import Network
from analytics.conditions import Fields, day, where
from analytics.traffic.queries import Sql
from fonproxy.api.search import (
    DATE,
    ID,
    LOWER_TEXT,
    MOMENT,
    NUMBER,
    Condition,
    Operator,
    Search,
    Span,
    one_of,
)
from fonproxy.clickhouse.retention import declared

# A UUID of version 8 (RFC 9562), whose first eight digits are the day and whose other bits follow from what makes the
# row: the same row always has the same id, and an id tells where to look for its row.
_DIGEST: Final = "lower(hex(sipHash128Reference(concat(toString(proxy_user_id), '/', network, '/', hostname))))"
ID_SQL: Final = (
    f"concat(toString(toYYYYMMDD(day)), '-', substring({_DIGEST}, 1, 4), '-8', substring({_DIGEST}, 5, 3),"
    f" '-8', substring({_DIGEST}, 8, 3), '-', substring({_DIGEST}, 11, 12))"
)
ID_SHAPE: Final = re.compile(r"([0-9]{8})-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}")

# Every field in the order in which it is told, its kind, and its column.
FIELDS: Final[Fields] = {
    "log_summary_id": (ID, ID_SQL),
    "proxy_user_id": (ID, "proxy_user_id"),
    "customer_id": (ID, "user_id"),
    "log_summary_network": (one_of(Network.values), "network"),
    "log_summary_hostname": (LOWER_TEXT, "hostname"),
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
# Rows from before times were kept count from the beginning of their day.
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
    """One account's summaries that meet all conditions; ids in them are what their columns hold."""

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
    """The first and the last day that can meet the conditions: what keeps a search from reading all the others."""
    first, last = date(1970, 1, 1), date(2105, 12, 31)
    for condition in conditions:
        if condition.field != "log_summary_period" or not isinstance(condition.value, Span):
            continue
        if condition.operator in (Operator.EQUAL, Operator.MIN):
            first = max(first, condition.value.start.date())
        if condition.operator in (Operator.EQUAL, Operator.MAX):
            last = min(last, condition.value.end.date() - timedelta(days=1))
    return first, last


def by_id(summary_id: str) -> tuple[Condition, Condition] | None:
    """What finds the row of that id; None for a text that cannot be one."""
    shape = ID_SHAPE.fullmatch(summary_id)
    try:
        at = datetime.combine(date.fromisoformat(shape[1]), time(), UTC) if shape else None
    except ValueError:
        at = None
    if at is None or not 1970 <= at.year <= 2105:
        return None
    return (
        Condition("log_summary_period", Operator.EQUAL, Span(at, at + timedelta(days=1))),
        Condition("log_summary_id", Operator.EQUAL, summary_id),
    )
