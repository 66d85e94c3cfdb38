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
    def to_sql(self) -> Sql: ...


def ask(question: Question) -> list[tuple[Any, ...]]:
    sql = question.to_sql()
    return get_client().fetch(sql.text, sql.params, tag=f"traffic.{type(question).__name__}")


@dataclass(frozen=True, slots=True)
class Reader:
    """Answers about one account's rows in a range, as of a moment, on the clock of a zone.

    Metrics are decimal strings, times ``YYYY-MM-DD HH:MM:SS`` on that clock.
    """

    scope: Scope
    zone: ZoneInfo
    now: datetime

    def chart(self, interval: Interval, measures: Mapping[str, Measure], *, fill: bool) -> list[Row]:
        """A row per point: ``bucket`` and the measures; ``fill`` adds the points without rows as zeros."""
        if self.scope.range.is_empty:
            return []
        axis = Axis.over(self.scope.range, interval, self.zone)
        scope = self._kept(queries.chart_table(self.scope))
        found = {
            Edge(segment, local): values
            for segment, local, *values in ask(queries.Chart(scope, axis, tuple(measures.values())))
        }
        nothing = [0] * len(measures)
        return [
            {"bucket": edge.label, **dict(zip(measures, map(str, found.get(edge, nothing)), strict=True))}
            for edge in (axis.edges() if fill else found)
        ]

    def domains(self, order: DomainOrder, limit: int) -> list[Row]:
        return [
            {
                "domain": domain,
                "total_count": str(count),
                "bytes_total": str(sent + received),
                "total_bytes_sent": str(sent),
                "total_bytes_received": str(received),
                "total_errors": str(errors),
            }
            for domain, count, sent, received, errors in ask(queries.Domains(self._kept(queries.WIDE), order, limit))
        ]

    def errors(self, limit: int) -> list[Row]:
        return [
            {
                "error": error,
                "total_errors": str(total),
                "first_seen": self._stamp(first),
                "last_seen": self._stamp(last),
                "sample_domains": domains,
            }
            for error, total, first, last, domains in ask(queries.Errors(self._kept(queries.WIDE), limit))
        ]

    def websites(self, page: int, limit: int) -> tuple[list[Row], int]:
        """One page of websites, and how many there are in all."""
        scope = self._kept(queries.WIDE)
        found = ask(queries.Websites(scope, page, limit))
        total = found[0][-1] if found else 0
        if not found and page > 1:
            [(total,)] = ask(queries.DomainCount(scope))
        rows = [
            {
                "domain": domain,
                "total_count": str(count),
                "bytes_total": str(bytes_total),
                "first_visit": self._stamp(first),
                "last_visit": self._stamp(last),
            }
            for domain, count, bytes_total, first, last, _ in found
        ]
        return rows, total

    def last_data_at(self) -> str | None:
        """The newest bucket of the account, whatever the range."""
        found = ask(queries.LastBucket(self.scope.user_id))
        return self._stamp(found[0][0]) if found else None

    def _kept(self, table: str) -> Scope:
        """The scope without what is past the table's retention, whether or not the engine has deleted it yet."""
        floor = retention.floor(table, self.now)
        range_ = self.scope.range
        if floor <= range_.start:
            return self.scope
        return replace(self.scope, range=replace(range_, start=floor))

    def _stamp(self, at: datetime) -> str:
        return local_stamp(at, self.zone)
