"""Time series over an application's events, as one SQL text and bound values. Pure: nothing is executed here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from analytics.traffic.queries import Sql

OTHER: Final = "__other__"
# Up to so many events a percentile is exact; beyond, it lies within 1 % of that value or of the one below it.
EXACT_UP_TO: Final = 8192
ERROR_BOUND: Final = 0.01


class Field(StrEnum):
    """What events can be grouped and filtered by; also the columns' names."""

    CONSUMER_ID = "consumer_id"
    METHOD = "method"
    URL = "url"
    FUNCTION = "function"
    STATUS_CODE = "status_code"


_SIMPLE: Final = {
    "count": "count()",
    "mean": "avg(response_us)",
    "min": "min(response_us)",
    "max": "max(response_us)",
    "sum": "sum(response_us)",
}
_PERCENTILE: Final = re.compile(r"percentile_([1-9][0-9]?)")


def aggregation(name: str) -> str | None:
    """The SQL of an aggregation by its published name; None for an unknown one.

    A percentile is the smallest value that at least so many per cent do not exceed (nearest rank).
    """
    if name in _SIMPLE:
        return _SIMPLE[name]
    found = _PERCENTILE.fullmatch(name)
    return _percentile(int(found[1])) if found else None


def _percentile(percent: int) -> str:
    rank = f"intDiv({percent} * least(count(), {EXACT_UP_TO}) + 99, 100)"
    exact = f"arraySort(groupArray({EXACT_UP_TO})(response_us))[{rank}]"
    near = f"toUInt64(round(quantileDD({ERROR_BOUND}, {percent / 100})(response_us)))"
    return f"if(count() <= {EXACT_UP_TO}, {exact}, {near})"


# Of nothing: what is added up is zero, and anything else is not known.
NOTHING: Final[Mapping[str, int | None]] = {"count": 0, "sum": 0}


@dataclass(frozen=True, slots=True)
class Series:
    """Rows ``(time, group, is it one of the largest, value, events, are others in it)``: one more than ``most_points``.

    ``step`` is the width of points in seconds, None for one point stamped with the start. ``includes`` are alternatives
    by field.
    """

    application_id: int
    start: int
    end: int
    oldest: datetime
    aggregation: str
    step: int | None
    group: Field | None
    includes: Mapping[Field, tuple[int | str, ...]]
    most_groups: int
    most_points: int

    def to_sql(self) -> Sql:
        where = self._where()
        time = f"intDiv(toUnixTimestamp(ts), {self.step}) * {self.step}" if self.step else "{start:UInt32}"
        name, is_large = "''", "1"
        if self.group is not None:
            name = f"toString({self.group})"
            # One that is called like the rest goes with the rest.
            is_large = (
                f"{self.group} IN (SELECT {self.group} FROM events"
                f" WHERE {where.text} AND toString({self.group}) != '{OTHER}'"
                f" GROUP BY {self.group} ORDER BY count() DESC, {self.group} LIMIT {{most_groups:UInt32}})"
            )
        text = (
            f"SELECT time, if(is_large, name, '') AS kept, is_large, {self.aggregation} AS value, count() AS events,"
            f" max(NOT is_large AND name != '{OTHER}')"
            f" FROM (SELECT {time} AS time, {name} AS name, {is_large} AS is_large, response_us"
            f" FROM events WHERE {where.text})"
            " GROUP BY time, kept, is_large ORDER BY time LIMIT {limit:UInt64}"
        )
        return Sql(text, {**where.params, "most_groups": self.most_groups, "limit": self.most_points + 1})

    def _where(self) -> Sql:
        parts = [
            "application_id = {application_id:UInt64}",
            "ts >= toDateTime({start:UInt32}, 'UTC')",
            "ts < toDateTime({end:UInt32}, 'UTC')",
            "ts >= {oldest:DateTime('UTC')}",
        ]
        params: dict[str, Any] = {
            "application_id": self.application_id,
            "start": self.start,
            "end": self.end,
            "oldest": self.oldest,
        }
        for field, values in self.includes.items():
            type_ = "UInt64" if field is Field.STATUS_CODE else "String"
            parts.append(f"{field} IN {{{field}:Array({type_})}}")
            params[field.value] = list(values)
        return Sql(" AND ".join(parts), params)


EXPORTED: Final = ("timestamp", "consumer_id", "method", "url", "function", "response_us", "status_code")


@dataclass(frozen=True, slots=True)
class Page:
    """The application's events after a place, in the order of time: rows of :data:`EXPORTED` and their ids."""

    application_id: int
    since: datetime
    before: datetime
    after: tuple[int, str] | None
    limit: int

    def to_sql(self) -> Sql:
        text = (
            "SELECT toUnixTimestamp(ts) AS timestamp, consumer_id, method, url, function, response_us, status_code,"
            " toString(event_id) FROM events WHERE application_id = {application_id:UInt64}"
            " AND ts >= {since:DateTime('UTC')} AND ts < {before:DateTime('UTC')}"
        )
        params: dict[str, Any] = {
            "application_id": self.application_id,
            "since": self.since,
            "before": self.before,
            "limit": self.limit,
        }
        if self.after is not None:
            text += (
                " AND ts >= toDateTime({after:UInt32}, 'UTC')"
                " AND (toUnixTimestamp(ts), event_id) > ({after:UInt32}, toUUID({after_id:String}))"
            )
            params["after"], params["after_id"] = self.after
        return Sql(f"{text} ORDER BY application_id, ts, event_id LIMIT {{limit:UInt32}}", params)
