"""Byteful's graph and breakdown, read from the smallest table that still holds the period."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

from analytics.byteful.graph import queries
from analytics.byteful.graph.queries import Filters, GraphQuery
from analytics.byteful.graph.sources import Dimension, GraphInterval, GraphRequest, Source, finest_kept, sources
from fonproxy.api.errors import FieldError, InvalidInput, OutOfRange
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import HEAVY
from fonproxy.clickhouse.query import Sql
from fonproxy.timerange import DAY, EPOCH, BucketKey, Range, TimeGrid, ceil, floor, local_stamp
from orders import selectors
from orders.models import Network

MAX_POINTS: Final = 10_000
Row = dict[str, Any]


class GraphPoint(NamedTuple):
    """Measures of a point or a group; :meth:`plus` sums them."""

    requests: int = 0
    bytes: int = 0
    errors: int = 0
    concurrency: int = 0

    def plus(self, other: GraphPoint) -> GraphPoint:
        return GraphPoint(
            self.requests + other.requests,
            self.bytes + other.bytes,
            self.errors + other.errors,
            max(self.concurrency, other.concurrency),
        )

    @property
    def described(self) -> Row:
        """``successful`` is never negative, although errors may outnumber requests."""
        return {
            "requests": self.requests,
            "bytes": self.bytes,
            "successful": max(self.requests - self.errors, 0),
            "error": self.errors,
        }


@dataclass(frozen=True, slots=True)
class GraphReader:
    """Reads of one account's traffic of any age. Raises OutOfRange for a detail that is not kept."""

    filters: Filters
    now: datetime

    def graph(self, asked: GraphRequest, *, with_concurrency: bool) -> Row:
        """The period, its sums and all its points up to now, zeros included."""
        asked = asked if asked.width else replace(asked, width=self._usual_width(asked))
        assert asked.width is not None
        _refuse_too_many_points(asked, self.now)
        points = [] if self._is_empty(asked) else self._points(self._source(asked), asked)
        graph = [
            {
                "datetime": label,
                **point.described,
                **({"concurrency": point.concurrency} if with_concurrency else {}),
            }
            for label, point in points
        ]
        total = _sum(point for _, point in points)
        return {**_period(asked), "interval": asked.width.value, "summary": total.described, "graph": graph}

    def breakdown(self, asked: GraphRequest, lists: Iterable[Dimension], order: str, limit: int) -> Row:
        """The period, its sums, and lists by host name, network or proxy user."""
        total = GraphPoint()
        found: Row = {}
        if not self._is_empty(asked):
            [values] = _fetch(self._query(self._source(asked), asked).total(), "breakdown.total")
            total = GraphPoint(*values)
        for dimension in lists:
            by = replace(asked, grouped=frozenset({dimension}))
            found[LISTS[dimension]] = [] if self._is_empty(asked) else self._by(by, dimension, order, limit)
        return {**_period(asked), "summary": total.described, **found}

    def _by(self, asked: GraphRequest, dimension: Dimension, order: str, limit: int) -> list[Row]:
        query = self._query(self._source(asked), asked)
        values = _fetch(query.by(dimension, order, limit), f"breakdown.{dimension}")
        published: Callable[[Any], str | None] = str
        if dimension is Dimension.PROXY_USER:
            published = selectors.logins_of(name for name, *_ in values).get
        elif dimension is Dimension.NETWORK:
            published = {network: network for network in Network.values}.get  # unattributed traffic has no network
        return [{NAMES[dimension]: published(name), **GraphPoint(*measures).described} for name, *measures in values]

    def _points(self, source: Source, asked: GraphRequest) -> list[tuple[str, GraphPoint]]:
        """Labels and measures in order. An hour that is repeated when clocks go back is two points with one label."""
        assert asked.width is not None
        query = self._query(source, asked)
        axis = TimeGrid.over(query.range, asked.width.interval, asked.zone)
        rows = _fetch(query.points(axis), "graph")
        found = {BucketKey(segment, local): GraphPoint(*measures) for segment, local, *measures in rows}
        edges = sorted(dict.fromkeys([*(edge for edge in axis.edges() if _start(edge, axis) <= self.now), *found]))
        points = [(edge.label, found.get(edge, GraphPoint())) for edge in edges]
        if asked.width is not GraphInterval.MONTH:
            return points
        months = groupby(points, key=lambda point: f"{point[0][:7]}-01 00:00:00")
        return [(month, _sum(point for _, point in days)) for month, days in months]

    def kept_lists(self, asked: GraphRequest, lists: Iterable[Dimension]) -> list[Dimension]:
        """The lists for which a table still covers the period."""
        return [
            dimension
            for dimension in lists
            if sources(replace(asked, grouped=frozenset({dimension})), self._oldest) or self._is_empty(asked)
        ]

    def _is_empty(self, asked: GraphRequest) -> bool:
        return asked.start >= min(asked.end, self._latest)

    @property
    def _latest(self) -> datetime:
        """A time after the newest that ingest accepts, because a period may end in another century."""
        return self.now + 2 * DAY

    def _query(self, source: Source, asked: GraphRequest) -> GraphQuery:
        end = min(asked.end, self._latest)
        return GraphQuery(source, Range(floor(asked.start, source.grain), ceil(end, source.grain)), self.filters)

    def _source(self, asked: GraphRequest) -> Source:
        found = [source for source in sources(asked, self._oldest) if not source.is_log or self._is_logged(asked)]
        if not found:
            raise _not_kept(asked, finest_kept(asked, self._oldest))
        return found[0]

    def _is_logged(self, asked: GraphRequest) -> bool:
        """Whether the log has all traffic of the period."""
        lacking = queries.unlogged(Range(asked.start, asked.end), self.filters.user_id, self.filters.orders)
        return not _fetch(lacking, "graph.unlogged")

    def _oldest(self, table: str) -> datetime:
        return retention.floor(table, self.now)

    def _usual_width(self, asked: GraphRequest) -> GraphInterval:
        """The default width for the period's length, or a coarser one if that is not available."""
        length = asked.end - asked.start
        usual = GraphInterval.DAY if length <= timedelta(days=92) else GraphInterval.MONTH
        if length <= timedelta(days=2):
            usual = GraphInterval.HOUR
        if sources(replace(asked, width=usual), self._oldest):
            return usual
        return finest_kept(replace(asked, width=usual), self._oldest) or usual


LISTS: Final = {
    Dimension.HOSTNAME: "hostnames",
    Dimension.NETWORK: "networks",
    Dimension.PROXY_USER: "proxy_users",
}
NAMES: Final = {
    Dimension.HOSTNAME: "hostname",
    Dimension.NETWORK: "network",
    Dimension.PROXY_USER: "proxy_user_id",
}


def _sum(point: Iterable[GraphPoint]) -> GraphPoint:
    total = GraphPoint()
    for part in point:
        total = total.plus(part)
    return total


def _start(edge: BucketKey, axis: TimeGrid) -> datetime:
    """The start of a point in UTC."""
    return EPOCH + timedelta(seconds=edge.local - axis.segments[edge.segment].offset)


def _period(asked: GraphRequest) -> Row:
    return {
        "period_start": local_stamp(asked.start, asked.zone),
        "period_end": local_stamp(asked.end, asked.zone),
    }


def _refuse_too_many_points(asked: GraphRequest, now: datetime) -> None:
    assert asked.width is not None
    length = min(asked.end, max(now, asked.start)) - asked.start
    points = length.total_seconds() / asked.width.interval.seconds
    if points > MAX_POINTS and asked.width is not GraphInterval.MONTH:
        message = f"Would make more than {MAX_POINTS:,} points."
        raise InvalidInput("The graph would be too long.", errors=[FieldError("interval", message)])


def _not_kept(asked: GraphRequest, finest: GraphInterval | None) -> OutOfRange:
    by = ", ".join(sorted(dimension.value for dimension in asked.filters | asked.grouped))
    detail = f" by {by}" if by else ""
    if finest is None or asked.width is None:
        message = f"Traffic{detail} is not kept for that long: choose a later start or fewer filters."
    else:
        message = f"The finest interval available{detail} for this period is {finest.value}."
    field = "period_start" if finest is None or asked.width is None else "interval"
    return OutOfRange("That detail is not available for the period.", errors=[FieldError(field, message)])


def _fetch(sql: Sql, tag: str) -> list[tuple[Any, ...]]:
    return get_client().fetch(sql.text, sql.params, profile=HEAVY, tag=tag)
