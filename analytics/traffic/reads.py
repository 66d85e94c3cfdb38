"""Runs the queries of FonProxy Analytics and converts rows of ClickHouse into rows of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from analytics import charts
from analytics.charts import Metric, TrafficScope
from analytics.traffic import queries
from analytics.traffic.queries import Comparison, DomainSource, RankOrder
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.query import Sql
from fonproxy.timerange import (
    DAY,
    GRAIN,
    BucketKey,
    Interval,
    Range,
    TimeGrid,
    ceil,
    clock_length,
    earlier,
    floor,
    local_stamp,
    year_before,
)
from orders import selectors as order_selectors

Row = dict[str, Any]
# For fewer days the wide table is as fast.
SUMMARISED_DAYS: Final = 2


class TrafficQuery(Protocol):
    @property
    def scope(self) -> TrafficScope: ...

    def to_sql(self) -> Sql: ...


# The measures of each report by their published names.
MEASURES: Final[Mapping[str, Mapping[str, Metric]]] = {
    "traffic": {
        "total_bytes_sent": Metric.BYTES_SENT,
        "total_bytes_received": Metric.BYTES_RECEIVED,
        "bytes_total": Metric.BYTES_TOTAL,
        "total_count": Metric.COUNT,
    },
    "requests": {"total_count": Metric.COUNT, "total_errors": Metric.ERRORS},
    "concurrency": {"max_concurrency": Metric.MAX_CONCURRENCY, "total_count": Metric.COUNT},
    "domains": {
        "total_count": Metric.COUNT,
        "bytes_total": Metric.BYTES_TOTAL,
        "total_bytes_sent": Metric.BYTES_SENT,
        "total_bytes_received": Metric.BYTES_RECEIVED,
        "total_errors": Metric.ERRORS,
    },
    "errors": {"total_errors": Metric.ERRORS},
    "countries": {"total_count": Metric.COUNT, "bytes_total": Metric.BYTES_TOTAL, "total_errors": Metric.ERRORS},
    "websites": {"total_count": Metric.COUNT, "bytes_total": Metric.BYTES_TOTAL},
}


@dataclass(frozen=True, slots=True)
class TrafficResult:
    """Rows as the API returns them, and the measures over the whole range.

    ``newest`` is the account's newest bucket, ``total`` the number of websites.
    """

    rows: list[Row]
    newest: datetime | None
    totals: Row
    total: int = 0


@dataclass(frozen=True, slots=True)
class TrafficReader:
    """Reads of one account's rows in a range, with times in a zone.

    Metrics are decimal strings, times ``YYYY-MM-DD HH:MM:SS`` in that zone.
    """

    scope: TrafficScope
    zone: ZoneInfo
    now: datetime

    def chart(self, report: str, interval: Interval, *, fill: bool) -> TrafficResult:
        """A row per point: ``bucket`` and the measures; ``fill`` adds the points without rows as zeros."""
        scope = self._within_retention(charts.chart_table(self.scope))
        axis = TimeGrid.over(self.scope.range, interval, self.zone)
        names = MEASURES[report]
        values, newest = _run(charts.Chart(scope, axis, tuple(names.values())))
        found = {BucketKey(segment, local): metrics for segment, local, *metrics in values}
        nothing = [0] * len(names)
        rows = [
            {"bucket": edge.label, **_texts(names, found.get(edge, nothing))}
            for edge in (axis.edges() if fill else found)
        ]
        return TrafficResult(rows, newest, _texts(names, _combined(names.values(), found.values())))

    def chart_before(self, report: str, interval: Interval, comparison: Comparison) -> Row:
        """``data`` and ``totals`` of the other period, a point for each of the filled chart.

        A point is compared with the one that showed the same time of day. Where clocks went back in the other
        period, two hours are one point.
        """
        shift = self._shift(comparison, timedelta(seconds=interval.seconds))
        before = self._earlier(shift)
        names = MEASURES[report]
        grid = TimeGrid.over(before.scope.range, interval, self.zone)
        values, _ = _run(
            charts.Chart(before._within_retention(charts.chart_table(self.scope)), grid, tuple(names.values()))
        )
        points: dict[int, list[list[int]]] = {}
        for _, local, *metrics in values:
            points.setdefault(local, []).append(metrics)
        totals = _texts(names, _combined(names.values(), [metrics for _, _, *metrics in values]))
        data = []
        for edge in TimeGrid.over(self.scope.range, interval, self.zone).edges():
            local = edge.local - int(shift.total_seconds())
            measures = _combined(names.values(), points.pop(local, []))
            data.append({"bucket": BucketKey(0, local).label, **_texts(names, measures)})
        return {"data": data, "totals": totals}

    def totals(self, report: str) -> Row:
        """The measures of a ranking over the whole range, of which it shows only the largest rows."""
        names = MEASURES[report]
        nothing = [0] * len(names)
        only_errors = report == "errors"
        scope = self._within_retention(charts.WIDE if only_errors else charts.chart_table(self.scope))
        question = queries.Totals(scope, tuple(names.values()), only_errors)
        return _texts(names, nothing if scope.range.is_empty else _fetch(question)[0])

    def _ranked(self, report: str, query: TrafficQuery) -> tuple[list[tuple[Any, ...]], datetime | None, Row]:
        """The rows of a ranking without its last two columns, the newest bucket, and the totals."""
        values, newest = _run(query)
        # Its table may keep rows for a shorter time than the one of the totals.
        is_whole = values and query.scope == self._within_retention(charts.chart_table(self.scope))
        totals = _texts(MEASURES[report], values[0][-1]) if is_whole else self.totals(report)
        return [row[:-1] for row in values], newest, totals

    def ranking_before(self, report: str, column: str, rows: Sequence[Row], comparison: Comparison) -> Row:
        """``data`` and ``totals`` of the other period: the measures of each row's name, in the order of the rows."""
        before = self._earlier(self._shift(comparison))
        names = MEASURES[report]
        scope = before._within_retention(charts.chart_table(self.scope) if column == "country" else charts.WIDE)
        asked = tuple(row[column] for row in rows)
        question = queries.Named(scope, column, asked, tuple(names.values()))
        found = {name: metrics for name, *metrics in _fetch(question)} if asked and not scope.range.is_empty else {}
        nothing = [0] * len(names)
        data = [{column: name, **_texts(names, found.get(name, nothing))} for name in asked]
        return {"data": data, "totals": before.totals(report)}

    def _shift(self, comparison: Comparison, step: timedelta = GRAIN) -> timedelta:
        """How far the other period lies back by the zone's clock: for last year, the days to the same first day.

        For the period before, the length of the range in whole steps; in whole days for a range of more than half a
        day, so that each hour is compared with the same hour.
        """
        if comparison is Comparison.LAST_YEAR:
            first = self.scope.range.start.astimezone(self.zone).date()
            return first - year_before(first)
        length = clock_length(self.scope.range.start, self.scope.range.end, self.zone)
        step = max(step, DAY) if length > DAY / 2 else step
        return -(-length // step) * step

    def _earlier(self, shift: timedelta) -> TrafficReader:
        """The same reader for a range that is earlier by that much local time."""
        range_ = self.scope.range
        start, end = (earlier(at, shift, self.zone) for at in (range_.start, range_.end))
        return replace(self, scope=replace(self.scope, range=Range(floor(start, GRAIN), ceil(end, GRAIN))))

    def domains(self, order: RankOrder, limit: int) -> TrafficResult:
        question = queries.Domains(self.domain_source(), order, limit, tuple(MEASURES["domains"].values()))
        values, newest, totals = self._ranked("domains", question)
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
        return TrafficResult(rows, newest, totals)

    def countries(self, order: RankOrder, limit: int) -> TrafficResult:
        scope = self._within_retention(charts.chart_table(self.scope))
        question = queries.Countries(scope, order, limit, tuple(MEASURES["countries"].values()))
        values, newest, totals = self._ranked("countries", question)
        rows = [
            {
                "country": country,
                "total_count": str(count),
                "bytes_total": str(sent + received),
                "total_errors": str(errors),
            }
            for country, count, sent, received, errors in values
        ]
        return TrafficResult(rows, newest, totals)

    def errors(self, limit: int) -> TrafficResult:
        values, newest = _run(queries.Errors(self._within_retention(charts.WIDE), limit))
        rows = [
            {
                "error": error,
                "total_errors": str(total),
                "first_seen": self.stamp(first),
                "last_seen": self.stamp(last),
                "sample_domains": domains,
            }
            for error, total, first, last, domains, _ in values
        ]
        return TrafficResult(rows, newest, _texts(MEASURES["errors"], [values[0][-1] if values else 0]))

    def websites(self, order: RankOrder, page: int, limit: int) -> TrafficResult:
        """One page of websites; ``total`` counts all of them."""
        source = self.domain_source()
        question = queries.Websites(source, order, page, limit, tuple(MEASURES["websites"].values()))
        values, newest, totals = self._ranked("websites", question)
        visits = self._visits(values, source) if source.days else {}
        rows = [
            {
                "domain": domain,
                "total_count": str(count),
                "bytes_total": str(sent + received),
                "first_visit": self.stamp(first),
                "last_visit": self.stamp(last),
            }
            for domain, count, sent, received, *times, _ in values
            for first, last in [visits.get(domain, times)]
        ]
        if values:
            return TrafficResult(rows, newest, totals, total=values[0][-1])
        counted, newest = _run(queries.DomainCount(source)) if page > 1 else ([], newest)
        return TrafficResult([], newest, totals, total=counted[0][0] if counted else 0)

    def domain_source(self) -> DomainSource:
        """The rows by domain; for long ranges whole days come from the daily summary, if it supports the filters."""
        scope = self._within_retention(charts.WIDE)
        if scope.order_id is not None or scope.country is not None:
            return DomainSource(scope)
        start = ceil(max(scope.range.start, retention.floor(queries.DAILY, self.now)), DAY)
        end = floor(scope.range.end, DAY)
        return DomainSource(scope, Range(start, end) if end - start >= SUMMARISED_DAYS * DAY else None)

    def _visits(
        self, websites: Sequence[tuple[Any, ...]], source: DomainSource
    ) -> dict[str, tuple[datetime, datetime]]:
        """The first and last bucket of each website, of which the daily summary only knows the days."""
        days = {at.date() for website in websites for at in website[4:6]}
        names = tuple(website[0] for website in websites)
        question = queries.Visits(source.scope, names, tuple(sorted(days)))
        return {name: (first, last) for name, first, last in _fetch(question)} if names else {}

    def stamp(self, at: datetime) -> str:
        return local_stamp(at, self.zone)

    def _within_retention(self, table: str) -> TrafficScope:
        """The scope without the part past the table's retention, whether or not ClickHouse has deleted it yet."""
        oldest = retention.floor(table, self.now)
        range_ = self.scope.range
        return self.scope if oldest <= range_.start else replace(self.scope, range=replace(range_, start=oldest))


def reader_of(user_id: int, given: Mapping[str, Any], now: datetime) -> TrafficReader:
    """The reader for validated parameters; raises NotFound for another account's order."""
    login = given.get("proxyUser")
    scope = TrafficScope(
        user_id,
        given["range"],
        order_selectors.find_order(user_id, given["orderId"]).pk if "orderId" in given else None,
        given.get("domain"),
        given.get("country"),
        None if login is None else order_selectors.proxy_user_number(user_id, login),
    )
    return TrafficReader(scope, given["tz"], now)


def _texts(names: Iterable[str], values: Sequence[int]) -> Row:
    return dict(zip(names, map(str, values), strict=True))


def _combined(measures: Iterable[Metric], points: Iterable[Sequence[int]]) -> list[int]:
    """Points merged into one: sums, or the largest concurrency; zeros without any."""
    columns = list(zip(*points, strict=True))
    return [
        (max if metric is Metric.MAX_CONCURRENCY else sum)(columns[number]) if columns else 0
        for number, metric in enumerate(measures)
    ]


def _run(query: TrafficQuery) -> tuple[list[tuple[Any, ...]], datetime | None]:
    """The rows without their last column, and the value of that column: the newest bucket."""
    rows = [] if query.scope.range.is_empty else _fetch(query)
    [*_, newest] = rows[0] if rows else _fetch(queries.NewestBucket(query.scope))[0]
    return [row[:-1] for row in rows], newest


def _fetch(query: TrafficQuery) -> list[tuple[Any, ...]]:
    sql = query.to_sql()
    return get_client().fetch(sql.text, sql.params, tag=f"traffic.{type(query).__name__}")
