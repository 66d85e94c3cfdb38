"""Queries over an application's events as SQL and bound values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from fonproxy.clickhouse.query import Sql

OTHER: Final = "__other__"
# Percentiles of up to this many events are exact; above that, they are within ERROR_BOUND of a neighbouring value.
EXACT_UP_TO: Final = 8192
ERROR_BOUND: Final = 0.01


class Field(StrEnum):
    """Fields that events can be grouped and filtered by; also their columns."""

    CONSUMER_ID = "consumer_id"
    METHOD = "method"
    URL = "url"
    FUNCTION = "function"
    STATUS_CODE = "status_code"


class _Simple(NamedTuple):
    """An aggregation as SQL over events, and over their sums by the minute."""

    of_events: str
    of_sums: str


_SIMPLE: Final = {
    "count": _Simple("count()", "sum(events)"),
    "mean": _Simple("avg(response_us)", "sum(total) / sum(events)"),
    "min": _Simple("min(response_us)", "min(smallest)"),
    "max": _Simple("max(response_us)", "max(largest)"),
    "sum": _Simple("sum(response_us)", "sum(total)"),
}
_SUMS: Final = "count() AS events, sum(response_us) AS total, min(response_us) AS smallest, max(response_us) AS largest"
MINUTE: Final = 60
# The fields of each projection of events by the minute.
_PROJECTED: Final = (
    frozenset({Field.CONSUMER_ID}),
    frozenset({Field.FUNCTION, Field.METHOD, Field.STATUS_CODE}),
)
_PERCENTILE: Final = re.compile(r"percentile_([1-9][0-9]?)")


def aggregation(name: str) -> str | None:
    """The SQL of an aggregation by its published name; None for an unknown one.

    A percentile is the smallest value that at least that share of the events does not exceed (nearest rank).
    """
    if name in _SIMPLE:
        return _SIMPLE[name].of_events
    found = _PERCENTILE.fullmatch(name)
    return _percentile(int(found[1])) if found else None


def _percentile(percent: int) -> str:
    rank = f"intDiv({percent} * least(count(), {EXACT_UP_TO}) + 99, 100)"
    exact = f"arraySort(groupArray({EXACT_UP_TO})(response_us))[{rank}]"
    # The sketch returns the middle of a bin, which may be outside of the reported values.
    sketch = f"toUInt64(round(quantileDD({ERROR_BOUND}, {percent / 100})(response_us)))"
    near = f"greatest(min(response_us), least(max(response_us), {sketch}))"
    return f"if(count() <= {EXACT_UP_TO}, {exact}, {near})"


# With no rows, count and sum are 0; the others are null.
NOTHING: Final[Mapping[str, int | None]] = {"count": 0, "sum": 0}


@dataclass(frozen=True, slots=True)
class Series:
    """Rows ``(time, group, is one of the largest, value, events, contains others)``, at most ``max_points`` + 1.

    ``step`` is the width of points in seconds, None for one point at the start. ``includes`` has the alternative values
    of each field.
    """

    application_id: int
    start: int
    end: int
    oldest: datetime
    aggregation: str  # its published name
    step: int | None
    group: Field | None
    includes: Mapping[Field, tuple[int | str, ...]]
    max_groups: int
    max_points: int

    def to_sql(self) -> Sql:
        value = aggregation(self.aggregation)
        assert value is not None
        if self.reads_minutes:
            value, events = _SIMPLE[self.aggregation].of_sums, "sum(events)"
            source = self._sums()
        else:
            events = "count()"
            source = f"(SELECT {self._columns('ts')}, response_us FROM events WHERE {self._where('ts')})"
        is_large = "1"
        if self.group is not None:
            # A group with the name of the merged rest belongs to the rest.
            is_large = (
                f"field IN (SELECT field FROM {source} WHERE toString(field) != '{OTHER}'"
                f" GROUP BY field ORDER BY {events} DESC, field LIMIT {{max_groups:UInt32}})"
            )
        # Sorted outside, because the engine would sort the arrays of percentiles before it evaluates them.
        text = (
            f"SELECT * FROM (SELECT time, if(is_large, toString(field), '') AS shown, {is_large} AS is_large,"
            f" {value} AS value, {events} AS found, max(NOT is_large AND toString(field) != '{OTHER}')"
            f" FROM {source} GROUP BY time, shown, is_large LIMIT {{limit:UInt64}}) ORDER BY time"
        )
        return Sql(text, self._params())

    @property
    def reads_minutes(self) -> bool:
        """Whether the sums by the minute, which have far fewer rows but only some fields, can answer it."""
        fields = {*self.includes, *([self.group] if self.group else [])}
        return (
            self.aggregation in _SIMPLE
            and (self.step or MINUTE) % MINUTE == 0
            and any(fields <= projected for projected in _PROJECTED)
        )

    def _sums(self) -> str:
        """Sums of the whole minutes, and of the seconds before and after them."""
        first, last = self._minutes
        minutes = f"toStartOfMinute(ts) >= {_instant('first')} AND toStartOfMinute(ts) < {_instant('last')}"
        rest = f"(ts < {_instant('first')} OR ts >= {_instant('last')})"
        parts = []
        if first < last:
            parts.append(self._part("toStartOfMinute(ts)", f"{self._where(None)} AND {minutes}"))
        if not parts or (first, last) != self._range:
            parts.append(self._part("ts", f"{self._where('ts')} AND {rest}"))
        return f"({' UNION ALL '.join(parts)})"

    def _part(self, time: str, where: str) -> str:
        return f"SELECT {self._columns(time)}, {_SUMS} FROM events WHERE {where} GROUP BY time, field"

    def _columns(self, time: str) -> str:
        at = f"intDiv(toUnixTimestamp({time}), {self.step}) * {self.step}" if self.step else "{start:UInt32}"
        field = self.group or "''"
        return f"{at} AS time, {field} AS field"

    def _where(self, time: str | None) -> str:
        parts = ["application_id = {application_id:UInt64}"]
        if time:
            parts += [f"{time} >= {_instant('since')}", f"{time} < {_instant('end')}"]
        for field in self.includes:
            type_ = "UInt64" if field is Field.STATUS_CODE else "String"
            parts.append(f"{field} IN {{{field}:Array({type_})}}")
        return " AND ".join(parts)

    @property
    def _range(self) -> tuple[int, int]:
        """The range without the part past the retention."""
        since = max(self.start, int(self.oldest.timestamp()))
        return since, max(since, self.end)

    @property
    def _minutes(self) -> tuple[int, int]:
        """The whole minutes in the range; if there is none, the end twice, so that all seconds are before them."""
        since, end = self._range
        first, last = -(-since // MINUTE) * MINUTE, end // MINUTE * MINUTE
        return (first, last) if first < last else (end, end)

    def _params(self) -> dict[str, Any]:
        first, last = self._minutes
        return {
            "application_id": self.application_id,
            "start": self.start,
            "since": self._range[0],
            "end": self.end,
            "first": first,
            "last": last,
            "max_groups": self.max_groups,
            "limit": self.max_points + 1,
            **{field.value: list(values) for field, values in self.includes.items()},
        }


def _instant(name: str) -> str:
    return f"toDateTime({{{name}:UInt32}}, 'UTC')"


EXPORTED: Final = ("timestamp", "consumer_id", "method", "url", "function", "response_us", "status_code")


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a position, ordered by time: rows of :data:`EXPORTED` and their ids."""

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
