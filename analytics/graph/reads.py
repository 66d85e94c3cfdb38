"""Asks whichever table still holds the period, and shapes the answer as the tracking API does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

from accounts import selectors
from analytics.graph import queries
from analytics.graph.queries import Filters, Question
from analytics.graph.sources import Asked, Dimension, Source, Width, finest_kept, sources
from analytics.traffic.queries import Sql
from fonproxy.api.errors import FieldError, InvalidInput, OutOfRange
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import DAY, EPOCH, Axis, Edge, Range, ceil, floor, local_stamp

MOST_POINTS: Final = 10_000
Row = dict[str, Any]


class Carried(NamedTuple):
    """What a point or a group carried; several are put together by :meth:`plus`."""

    requests: int = 0
    bytes: int = 0
    errors: int = 0
    concurrency: int = 0

    def plus(self, other: Carried) -> Carried:
        return Carried(
            self.requests + other.requests,
            self.bytes + other.bytes,
            self.errors + other.errors,
            max(self.concurrency, other.concurrency),
        )

    @property
    def described(self) -> Row:
        """``successful`` is never below zero, though errors may outnumber requests."""
        return {
            "requests": self.requests,
            "bytes": self.bytes,
            "successful": max(self.requests - self.errors, 0),
            "error": self.errors,
        }


@dataclass(frozen=True, slots=True)
class Reader:
    """Answers about one account's traffic of any age, as of a moment. Raises OutOfRange for what is not kept."""

    filters: Filters
    now: datetime

    def graph(self, asked: Asked, *, with_concurrency: bool) -> Row:
        """The period, its sums and all its points up to now; those without traffic are zeros."""
        asked = asked if asked.width else replace(asked, width=self._usual_width(asked))
        assert asked.width is not None
        _refuse_too_many_points(asked, self.now)
        points = [] if self._is_empty(asked) else self._points(self._source(asked), asked)
        graph = [
            {
                "datetime": label,
                **carried.described,
                **({"concurrency": carried.concurrency} if with_concurrency else {}),
            }
            for label, carried in points
        ]
        total = _sum(carried for _, carried in points)
        return {**_period(asked), "interval": asked.width.value, "summary": total.described, "graph": graph}

    def breakdown(self, asked: Asked, lists: Iterable[Dimension], order: str, limit: int) -> Row:
        """The period, its sums, and what each host name, network or proxy user had of them."""
        total = Carried()
        found: Row = {}
        if not self._is_empty(asked):
            [values] = _fetch(self._question(self._source(asked), asked).total(), "breakdown.total")
            total = Carried(*values)
        for dimension in lists:
            by = replace(asked, grouped=frozenset({dimension}))
            found[LISTS[dimension]] = [] if self._is_empty(asked) else self._by(by, dimension, order, limit)
        return {**_period(asked), "summary": total.described, **found}

    def _by(self, asked: Asked, dimension: Dimension, order: str, limit: int) -> list[Row]:
        question = self._question(self._source(asked), asked)
        values = _fetch(question.by(dimension, order, limit), f"breakdown.{dimension}")
        is_login = dimension is Dimension.PROXY_USER
        logins = selectors.logins_of(name for name, *_ in values) if is_login else {}
        return [
            {NAMES[dimension]: logins.get(name) if is_login else name, **Carried(*measures).described}
            for name, *measures in values
        ]

    def _points(self, source: Source, asked: Asked) -> list[tuple[str, Carried]]:
        """Labels and what was carried, in order. The hour that clocks show twice is two points with one label."""
        assert asked.width is not None
        question = self._question(source, asked)
        axis = Axis.over(question.range, asked.width.interval, asked.zone)
        rows = _fetch(question.points(axis), "graph")
        found = {Edge(segment, local): Carried(*measures) for segment, local, *measures in rows}
        edges = sorted({edge for edge in axis.edges() if _start(edge, axis) <= self.now} | found.keys())
        points = [(edge.label, found.get(edge, Carried())) for edge in edges]
        if asked.width is not Width.MONTH:
            return points
        months = groupby(points, key=lambda point: f"{point[0][:7]}-01 00:00:00")
        return [(month, _sum(carried for _, carried in days)) for month, days in months]

    def kept(self, asked: Asked, lists: Iterable[Dimension]) -> list[Dimension]:
        """Those of the lists that the period is still held by."""
        return [
            dimension
            for dimension in lists
            if sources(replace(asked, grouped=frozenset({dimension})), self._oldest) or self._is_empty(asked)
        ]

    def _is_empty(self, asked: Asked) -> bool:
        return asked.start >= min(asked.end, self._latest)

    @property
    def _latest(self) -> datetime:
        """Nothing that was taken lies so far ahead; a period may end in another century."""
        return self.now + 2 * DAY

    def _question(self, source: Source, asked: Asked) -> Question:
        end = min(asked.end, self._latest)
        return Question(source, Range(floor(asked.start, source.grain), ceil(end, source.grain)), self.filters)

    def _source(self, asked: Asked) -> Source:
        found = [source for source in sources(asked, self._oldest) if not source.is_log or self._is_logged(asked)]
        if not found:
            raise _not_kept(asked, finest_kept(asked, self._oldest))
        return found[0]

    def _is_logged(self, asked: Asked) -> bool:
        """Whether the log holds all that was carried, so that a chart from it is not one of a part."""
        lacking = queries.unlogged(Range(asked.start, asked.end), self.filters.user_id, self.filters.orders)
        return not _fetch(lacking, "graph.unlogged")

    def _oldest(self, table: str) -> datetime:
        return retention.floor(table, self.now)

    def _usual_width(self, asked: Asked) -> Width:
        """By the period's length; a coarser one when that is not kept."""
        length = asked.end - asked.start
        usual = Width.DAY if length <= timedelta(days=92) else Width.MONTH
        if length <= timedelta(days=2):
            usual = Width.HOUR
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


def _sum(carried: Iterable[Carried]) -> Carried:
    total = Carried()
    for part in carried:
        total = total.plus(part)
    return total


def _start(edge: Edge, axis: Axis) -> datetime:
    """When a point begins."""
    return EPOCH + timedelta(seconds=edge.local - axis.segments[edge.segment].offset)


def _period(asked: Asked) -> Row:
    return {
        "period_start": local_stamp(asked.start, asked.zone),
        "period_end": local_stamp(asked.end, asked.zone),
    }


def _refuse_too_many_points(asked: Asked, now: datetime) -> None:
    assert asked.width is not None
    length = min(asked.end, max(now, asked.start)) - asked.start
    points = length.total_seconds() / asked.width.interval.seconds
    if points > MOST_POINTS and asked.width is not Width.MONTH:
        message = f"Would make more than {MOST_POINTS:,} points."
        raise InvalidInput("The graph would be too long.", errors=[FieldError("interval", message)])


def _not_kept(asked: Asked, finest: Width | None) -> OutOfRange:
    by = ", ".join(sorted(dimension.value for dimension in asked.filters | asked.grouped))
    told = f" by {by}" if by else ""
    if finest is None or asked.width is None:
        message = f"Traffic{told} is not kept for so long: begin later, or ask for less."
    else:
        message = f"The finest that is kept{told} for this period is {finest.value}."
    field = "period_start" if finest is None or asked.width is None else "interval"
    return OutOfRange("The period is not kept in that detail.", errors=[FieldError(field, message)])


def _fetch(sql: Sql, tag: str) -> list[tuple[Any, ...]]:
    return get_client().fetch(sql.text, sql.params, tag=tag)
