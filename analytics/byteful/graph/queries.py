"""Queries of the graph and the breakdown as SQL and bound values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from analytics.byteful.conditions import day, instant, millis
from analytics.byteful.graph.sources import Dimension, Source
from analytics.charts import bucket_key_columns
from fonproxy.clickhouse.query import Sql
from fonproxy.timerange import DAY, GRAIN, Range, TimeGrid, ceil, floor


@dataclass(frozen=True, slots=True)
class Filters:
    """Account and filters; ``orders`` are the orders that match the other filters, None for all."""

    user_id: int
    order_id: int | None = None
    network: str | None = None
    proxy_user_id: int | None = None
    hostname: str | None = None
    orders: tuple[int, ...] | None = None

    @property
    def dimensions(self) -> frozenset[Dimension]:
        return frozenset(self.values())

    def values(self) -> dict[Dimension, int | str]:
        """The filter values by dimension."""
        given = {
            Dimension.ORDER: self.order_id,
            Dimension.NETWORK: self.network,
            Dimension.PROXY_USER: self.proxy_user_id,
            Dimension.HOSTNAME: self.hostname,
        }
        return {dimension: value for dimension, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class GraphQuery:
    """A query of one source; ``range`` is a multiple of its grain."""

    source: Source
    range: Range
    filters: Filters

    def points(self, axis: TimeGrid) -> Sql:
        """Rows ``(segment, local, requests, bytes, errors, concurrency)`` by bucket_key_columns."""
        where = self._where()
        epoch = f"toUnixTimestamp({self._moment})"
        text = f"SELECT {bucket_key_columns(axis, epoch)}, {self._measures} FROM {self.source.table} WHERE {where.text}"
        return Sql(f"{text} GROUP BY segment, local ORDER BY segment, local", where.params)

    def total(self) -> Sql:
        """One row ``(requests, bytes, errors, concurrency)``."""
        where = self._where()
        return Sql(f"SELECT {self._measures} FROM {self.source.table} WHERE {where.text}", where.params)

    def by(self, dimension: Dimension, order: str, limit: int) -> Sql:
        """Rows ``(value, requests, bytes, errors)``; ``order`` is one of :data:`ORDERS`, with its direction."""
        where = self._where()
        column = self.source.columns[dimension]
        text = (
            f"SELECT {column} AS name, sum(count) AS requests, sum(bytes_sent) + sum(bytes_received) AS bytes,"
            f" {self.source.errors} AS errors FROM {self.source.table} WHERE {where.text}"
            f" GROUP BY name ORDER BY {order}, name LIMIT {{limit:UInt32}}"
        )
        return Sql(text, {**where.params, "limit": limit})

    @property
    def _measures(self) -> str:
        source = self.source
        return f"sum(count), sum(bytes_sent) + sum(bytes_received), {source.errors}, {source.concurrency}"

    @property
    def _moment(self) -> str:
        return f"toDateTime({self.source.time}, 'UTC')"

    def _where(self) -> Sql:
        source = self.source
        since, before = _bound(source, "since"), _bound(source, "before")
        parts = ["user_id = {user_id:UInt64}", f"{source.time} >= {since}", f"{source.time} < {before}"]
        params: dict[str, Any] = {
            "user_id": self.filters.user_id,
            "since": _value(source, self.range.start),
            "before": _value(source, self.range.end),
        }
        for number, (dimension, value) in enumerate(self.filters.values().items()):
            column = source.columns.get(dimension)
            if column is None:  # a network, in a table with orders
                parts.append("has({orders:Array(UInt64)}, order_id)")
                params["orders"] = list(self.filters.orders or ())
            else:
                type_ = "UInt64" if isinstance(value, int) else "String"
                parts.append(f"{column} = {{f{number}:{type_}}}")
                params[f"f{number}"] = value
        return Sql(" AND ".join(parts), params)


# Sort orders of a breakdown.
ORDERS: Final = {
    "requests": "requests",
    "bytes": "bytes",
    "successful": "requests - least(errors, requests)",
    "error": "errors",
}


def unlogged(range_: Range, user_id: int, orders: Sequence[int] | None) -> Sql:
    """Returns a row if the log lacks traffic of those orders, or of any order, in that range."""
    text = (
        "SELECT 1 FROM unlogged_traffic WHERE user_id = {user_id:UInt64}"
        " AND bucket >= {since:DateTime('UTC')} AND bucket < {before:DateTime('UTC')}"
    )
    params: dict[str, Any] = {
        "user_id": user_id,
        "since": floor(range_.start, GRAIN),
        "before": ceil(range_.end, GRAIN),
    }
    if orders is not None:
        text += " AND has({orders:Array(UInt64)}, order_id)"
        params["orders"] = list(orders)
    return Sql(f"{text} LIMIT 1", params)


def _bound(source: Source, name: str) -> str:
    if source.grain == DAY:
        return day(name)
    return instant(name) if source.is_log else f"{{{name}:DateTime('UTC')}}"


def _value(source: Source, at: datetime) -> Any:
    if source.grain == DAY:
        return at.date().isoformat()
    return millis(at) if source.is_log else at
