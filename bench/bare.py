"""The bare query of each read: exactly the SQL that the product runs, without the product.

Runs in a process with an engine.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final
from zoneinfo import ZoneInfo

from django.utils import timezone

from analytics.charts import Chart, TrafficScope
from analytics.traffic.queries import Domains, Errors, RankOrder, Websites
from analytics.traffic.reads import MEASURES, TrafficQuery, TrafficReader
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import Interval, Range, TimeGrid


def _chart(report: str) -> Callable[[TrafficScope], TrafficQuery]:
    def chart(scope: TrafficScope) -> TrafficQuery:
        axis = TimeGrid.over(scope.range, Interval.for_range(scope.range.length), ZoneInfo("UTC"))
        return Chart(scope, axis, tuple(MEASURES[report].values()))

    return chart


def _reader(scope: TrafficScope) -> TrafficReader:
    return TrafficReader(scope, ZoneInfo("UTC"), timezone.now())


# With the parameters that a read has by default.
QUESTIONS: Final[dict[str, Callable[[TrafficScope], TrafficQuery]]] = {
    **{report: _chart(report) for report in ("traffic", "requests", "concurrency")},
    "domains": lambda scope: Domains(
        _reader(scope).domain_source(), RankOrder.BYTES, 30, tuple(MEASURES["domains"].values())
    ),
    "errors": lambda scope: Errors(scope, limit=50),
    # Of its two statements, the one that takes nearly all the time.
    "websites": lambda scope: Websites(
        _reader(scope).domain_source(), RankOrder.COUNT, 1, 25, tuple(MEASURES["websites"].values())
    ),
}


def ask(report: str, user_id: int, range_: Range) -> tuple[float, int]:
    """How long the query took in milliseconds, and how many rows it found."""
    sql = QUESTIONS[report](TrafficScope(user_id, range_)).to_sql()
    started = perf_counter()
    rows = get_client().fetch(sql.text, sql.params, tag="bench.ask")
    return (perf_counter() - started) * 1000, len(rows)
