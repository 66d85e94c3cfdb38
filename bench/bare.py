"""The bare query of each read: the very SQL the product asks, without the product. Runs in a process with an engine."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final
from zoneinfo import ZoneInfo

from analytics.traffic.queries import Chart, DomainOrder, Domains, Errors, Scope, Websites
from analytics.traffic.reads import Question
from analytics.traffic.views import CHARTS
from fonproxy.clickhouse.client import get_client
from fonproxy.timerange import Axis, Interval, Range


def _chart(report: str) -> Callable[[Scope], Question]:
    def chart(scope: Scope) -> Question:
        axis = Axis.over(scope.range, Interval.for_range(scope.range.length), ZoneInfo("UTC"))
        return Chart(scope, axis, tuple(CHARTS[report].values()))

    return chart


# With the parameters that a read has by default.
QUESTIONS: Final[dict[str, Callable[[Scope], Question]]] = {
    **{report: _chart(report) for report in CHARTS},
    "domains": lambda scope: Domains(scope, DomainOrder.BYTES, limit=30),
    "errors": lambda scope: Errors(scope, limit=50),
    "websites": lambda scope: Websites(scope, page=1, limit=25),
}


def ask(report: str, user_id: int, range_: Range) -> tuple[float, int]:
    """How long the query took in milliseconds, and how many rows it found."""
    sql = QUESTIONS[report](Scope(user_id, range_)).to_sql()
    started = perf_counter()
    rows = get_client().fetch(sql.text, sql.params, tag="bench.ask")
    return (perf_counter() - started) * 1000, len(rows)
