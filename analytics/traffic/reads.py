"""Asks the questions of the FonProxy Analytics API and turns the engine's rows into the API's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from analytics.traffic import queries
from analytics.traffic.queries import DomainOrder, Measure, Scope, Sql
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import Axis, Edge, Interval, local_stamp

Row = dict[str, Any]


class Question(Protocol):
    @property
    def scope(self) -> Scope: ...

    def to_sql(self) -> Sql: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as the API gives them; ``newest`` is the account's newest bucket, whatever was asked."""

    rows: list[Row]
    newest: datetime | None
    total: int = 0


@dataclass(frozen=True, slots=True)
class Reader:
    """Answers about one account's rows in a range, as of a moment, on the clock of a zone.

    Metrics are decimal strings, times ``YYYY-MM-DD HH:MM:SS`` on that clock.
    """

    scope: Scope
    zone: ZoneInfo
    now: datetime

    def chart(self, interval: Interval, measures: Mapping[str, Measure], *, fill: bool) -> Answer:
        """A row per point: ``bucket`` and the measures; ``fill`` adds the points without rows as zeros."""
        scope = self._kept(queries.chart_table(self.scope))
        axis = Axis.over(self.scope.range, interval, self.zone)
        values, newest = _ask(queries.Chart(scope, axis, tuple(measures.values())))
        found = {Edge(segment, local): metrics for segment, local, *metrics in values}
        nothing = [0] * len(measures)
        rows = [
            {"bucket": edge.label, **dict(zip(measures, map(str, found.get(edge, nothing)), strict=True))}
            for edge in (axis.edges() if fill else found)
        ]
        return Answer(rows, newest)

    def domains(self, order: DomainOrder, limit: int) -> Answer:
        values, newest = _ask(queries.Domains(self._kept(queries.WIDE), order, limit))
        rows = [
            {
                "domain": domain,
                "total_count": str(count),
                "bytes_total": str(sent + received),
                "total_bytes_sent": str(sent),
                "total_bytes_received": str(received),
                "total_errors": str(errors),
            }
            for domain, count, sent, received, errors in values
        ]
        return Answer(rows, newest)

    def errors(self, limit: int) -> Answer:
        values, newest = _ask(queries.Errors(self._kept(queries.WIDE), limit))
        rows = [
            {
                "error": error,
                "total_errors": str(total),
                "first_seen": self.stamp(first),
                "last_seen": self.stamp(last),
                "sample_domains": domains,
            }
            for error, total, first, last, domains in values
        ]
        return Answer(rows, newest)

    def websites(self, page: int, limit: int) -> Answer:
        """One page of websites; the answer's ``total`` is how many there are in all."""
        scope = self._kept(queries.WIDE)
        values, newest = _ask(queries.Websites(scope, page, limit))
        rows = [
            {
                "domain": domain,
                "total_count": str(count),
                "bytes_total": str(bytes_total),
                "first_visit": self.stamp(first),
                "last_visit": self.stamp(last),
            }
            for domain, count, bytes_total, first, last, _ in values
        ]
        if values:
            return Answer(rows, newest, total=values[0][-1])
        counted, newest = _ask(queries.DomainCount(scope)) if page > 1 else ([], newest)
        return Answer([], newest, total=counted[0][0] if counted else 0)

    def stamp(self, at: datetime) -> str:
        return local_stamp(at, self.zone)

    def _kept(self, table: str) -> Scope:
        """The scope without what is past the table's retention, whether or not the engine has deleted it yet."""
        floor = retention.floor(table, self.now)
        range_ = self.scope.range
        return self.scope if floor <= range_.start else replace(self.scope, range=replace(range_, start=floor))


def _ask(question: Question) -> tuple[list[tuple[Any, ...]], datetime | None]:
    """The rows without their last column, and what that says: the newest bucket."""
    rows = [] if question.scope.range.is_empty else _fetch(question)
    [*_, newest] = rows[0] if rows else _fetch(queries.NewestBucket(question.scope))[0]
    return [row[:-1] for row in rows], newest


def _fetch(question: Question) -> list[tuple[Any, ...]]:
    sql = question.to_sql()
    return get_client().fetch(sql.text, sql.params, tag=f"traffic.{type(question).__name__}")
