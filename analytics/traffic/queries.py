"""The rankings of FonProxy Analytics, as SQL text and bound values. Pure: nothing is executed here.

The last column of every result is the account's newest bucket, as in :mod:`analytics.charts`. Rankings that show only
their largest rows have the totals of all rows before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from analytics.charts import NEWEST, WIDE, Metric, TrafficScope, chart_table
from fonproxy.clickhouse.query import Sql
from fonproxy.timerange import Range


class Comparison(StrEnum):
    """The period that a range is compared with: the one before it, or the same of last year."""

    PREVIOUS = "previous"
    LAST_YEAR = "last_year"


class RankOrder(StrEnum):
    BYTES = "bytes"
    COUNT = "count"


DAILY: Final = "daily_host"
LARGEST: Final = {RankOrder.BYTES: "sent + received", RankOrder.COUNT: "requests"}
# The totals of a ranking's rows, before it is limited.
_OVER_ALL: Final = {
    Metric.COUNT: "sum(requests) OVER ()",
    Metric.BYTES_TOTAL: "sum(sent + received) OVER ()",
    Metric.BYTES_SENT: "sum(sent) OVER ()",
    Metric.BYTES_RECEIVED: "sum(received) OVER ()",
    Metric.ERRORS: "sum(errors) OVER ()",
}


def _totals(measures: tuple[Metric, ...]) -> str:
    return f"[{', '.join(_OVER_ALL[metric] for metric in measures)}]"


@dataclass(frozen=True, slots=True)
class Totals:
    """One row with the measures over the whole scope; ``only_errors`` excludes rows without an error."""

    scope: TrafficScope
    measures: tuple[Metric, ...]
    only_errors: bool = False

    def to_sql(self) -> Sql:
        where = self.scope.where()
        errors = " AND error != ''" if self.only_errors else ""
        table = WIDE if self.only_errors else chart_table(self.scope)
        return Sql(f"SELECT {', '.join(self.measures)} FROM {table} WHERE {where.text}{errors}", where.params)


@dataclass(frozen=True, slots=True)
class Named:
    """Rows ``(name, *measures)`` for the given names in a column, for a comparison with another period."""

    scope: TrafficScope
    column: str
    names: tuple[str, ...]
    measures: tuple[Metric, ...]

    def to_sql(self) -> Sql:
        where = self.scope.where()
        table = chart_table(self.scope) if self.column == "country" else WIDE
        text = (
            f"SELECT {self.column}, {', '.join(self.measures)} FROM {table}"
            f" WHERE {where.text} AND has({{names:Array(String)}}, {self.column}) GROUP BY {self.column}"
        )
        return Sql(text, {**where.params, "names": list(self.names)})


@dataclass(frozen=True, slots=True)
class Countries:
    """Rows ``(country, requests, bytes sent, bytes received, errors, totals)``, largest first."""

    scope: TrafficScope
    order: RankOrder
    limit: int
    measures: tuple[Metric, ...]

    def to_sql(self) -> Sql:
        where = self.scope.where()
        text = (
            "SELECT country, sum(count) AS requests, sum(bytes_sent) AS sent,"
            " sum(bytes_received) AS received, sum(error_count) AS errors,"
            f" {_totals(self.measures)}, {NEWEST} FROM {chart_table(self.scope)} WHERE {where.text}"
            f" GROUP BY country ORDER BY {LARGEST[self.order]} DESC, country LIMIT {{limit:UInt32}}"
        )
        return Sql(text, {**where.params, "limit": self.limit})


@dataclass(frozen=True, slots=True)
class DomainSource:
    """The rows of a scope, to be grouped by domain: from the wide table, and for ``days`` from the daily summary.

    The summary has fewer rows, but no orders, countries or times within a day.
    """

    scope: TrafficScope
    days: Range | None = None

    def to_sql(self) -> Sql:
        """The FROM clause. Both parts are grouped, so that shards send domains and not rows."""
        where = self.scope.where()
        if self.days is None:
            return Sql(f"{WIDE} WHERE {where.text}", where.params)
        filters = [
            f"{name} = {{{param}:{type_}}}"
            for name, param, type_ in (("hostname", "domain", "String"), ("proxy_user_id", "proxy_user_id", "UInt64"))
            if param in where.params
        ]
        daily = _grouped("hostname", "toDateTime(day, 'UTC')", DAILY, " AND ".join((_DAYS, *filters)))
        params = {**where.params, "first_day": self.days.start.date(), "end_day": self.days.end.date()}
        if self.days == self.scope.range:
            return Sql(f"({daily})", params)
        rest = f"{where.text} AND (bucket < toDateTime({_FIRST}, 'UTC') OR bucket >= toDateTime({_END}, 'UTC'))"
        return Sql(f"({_grouped('domain', 'bucket', WIDE, rest)} UNION ALL {daily})", params)

    @property
    def times(self) -> tuple[str, str]:
        return ("min(bucket)", "max(bucket)") if self.days is None else ("min(first_time)", "max(last_time)")


_FIRST: Final = "{first_day:Date}"
_END: Final = "{end_day:Date}"
_DAYS: Final = f"user_id = {{user_id:UInt64}} AND day >= {_FIRST} AND day < {_END}"


def _grouped(name: str, time: str, table: str, where: str) -> str:
    sums = ", ".join(
        f"sum(t.{column}) AS {column}" for column in ("count", "bytes_sent", "bytes_received", "error_count")
    )
    return (
        f"SELECT {name} AS domain, {sums}, min({time}) AS first_time, max({time}) AS last_time"
        f" FROM {table} AS t WHERE {where} GROUP BY {name}"
    )


@dataclass(frozen=True, slots=True)
class Domains:
    """Rows ``(domain, count, sent, received, errors, totals)``, largest first."""

    source: DomainSource
    order: RankOrder
    limit: int
    measures: tuple[Metric, ...]

    @property
    def scope(self) -> TrafficScope:
        return self.source.scope

    def to_sql(self) -> Sql:
        source = self.source.to_sql()
        text = (
            "SELECT domain, sum(count) AS requests, sum(bytes_sent) AS sent,"
            " sum(bytes_received) AS received, sum(error_count) AS errors,"
            f" {_totals(self.measures)}, {NEWEST}"
            f" FROM {source.text} GROUP BY domain ORDER BY {LARGEST[self.order]} DESC, domain"
            " LIMIT {limit:UInt32}"
        )
        return Sql(text, {**source.params, "limit": self.limit})


@dataclass(frozen=True, slots=True)
class Errors:
    """Rows ``(error, errors, first bucket, last bucket, domains, errors of all names)``, most errors first."""

    scope: TrafficScope
    limit: int

    def to_sql(self) -> Sql:
        where = self.scope.where()
        text = (
            "SELECT error, sum(errors) AS total, min(first), max(last),"
            # the domains with most errors; ties are sorted by name, so that repeated responses agree
            " arrayMap(pair -> pair.2, arraySlice(arraySort(pair -> (-toInt128(pair.1), pair.2),"
            " groupArray((errors, domain))), 1, 5)),"
            f" sum(total) OVER (), {NEWEST}"
            " FROM (SELECT error, domain, sum(error_count) AS errors, min(bucket) AS first, max(bucket) AS last"
            f" FROM {WIDE} WHERE {where.text} AND error != '' GROUP BY error, domain)"
            " GROUP BY error ORDER BY total DESC, error LIMIT {limit:UInt32}"
        )
        return Sql(text, {**where.params, "limit": self.limit})


@dataclass(frozen=True, slots=True)
class Websites:
    """Rows ``(domain, requests, sent, received, first bucket, last bucket, number of domains, totals)``, largest first.

    For days of the daily summary the first and last bucket are the starts of days: see :class:`Visits`.
    """

    source: DomainSource
    order: RankOrder
    page: int
    limit: int
    measures: tuple[Metric, ...]

    @property
    def scope(self) -> TrafficScope:
        return self.source.scope

    def to_sql(self) -> Sql:
        source = self.source.to_sql()
        first, last = self.source.times
        text = (
            "SELECT domain, sum(count) AS requests, sum(bytes_sent) AS sent, sum(bytes_received) AS received,"
            f" {first}, {last}, count() OVER () AS total, {_totals(self.measures)}, {NEWEST}"
            f" FROM {source.text} GROUP BY domain ORDER BY {LARGEST[self.order]} DESC, domain"
            " LIMIT {limit:UInt32} OFFSET {offset:UInt64}"
        )
        return Sql(text, {**source.params, "limit": self.limit, "offset": (self.page - 1) * self.limit})


@dataclass(frozen=True, slots=True)
class Visits:
    """Rows ``(domain, first bucket, last bucket)`` for these domains on these days."""

    scope: TrafficScope
    domains: tuple[str, ...]
    days: tuple[date, ...]

    def to_sql(self) -> Sql:
        where = self.scope.where()
        text = (
            f"SELECT domain, min(bucket), max(bucket) FROM {WIDE} WHERE {where.text}"
            " AND toString(toDate(bucket)) IN {days:Array(String)} AND has({domains:Array(String)}, domain)"
            " GROUP BY domain"
        )
        return Sql(text, {**where.params, "domains": list(self.domains), "days": [str(day) for day in self.days]})


@dataclass(frozen=True, slots=True)
class DomainCount:
    """One row: the number of domains, for a page past the end, which has no row with it."""

    source: DomainSource

    @property
    def scope(self) -> TrafficScope:
        return self.source.scope

    def to_sql(self) -> Sql:
        source = self.source.to_sql()
        return Sql(f"SELECT uniqExact(domain), {NEWEST} FROM {source.text}", source.params)


@dataclass(frozen=True, slots=True)
class NewestBucket:
    """One row with only the newest bucket, null if there is none: for a result without rows."""

    scope: TrafficScope

    def to_sql(self) -> Sql:
        return Sql(f"SELECT {NEWEST}", {"user_id": self.scope.user_id})
