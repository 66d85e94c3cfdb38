"""Usage of all customers by proxy type, product, gateway, country or customer, compared with the previous period.

``order_traffic`` has each row's customer, order and country, ``login_traffic`` its gateway instead of the country; both
are kept for ever. A query reads the months of its ranges with one thread, for at most 15 seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, NamedTuple

from accounts.models import User
from analytics.charts import bucket_key_columns
from console.usage_spans import Span
from fonproxy import countries
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import HEAVY
from fonproxy.clickhouse.text import Value
from fonproxy.timerange import EPOCH, BucketKey, Interval, Range, TimeGrid
from orders.models import Order, Product

MAX_GROUPS: Final = 100
MAX_CHARTED: Final = 5
MAX_EXPORTED: Final = 100_000

_SUMS: Final = "sum(bytes_sent) + sum(bytes_received), sum(count), sum(error_count)"
_GROUPS: Final = """
SELECT
    {key} AS key,
    sumIf(bytes_sent, is_now) AS sent, sumIf(bytes_received, is_now) AS received, sent + received AS size,
    sumIf(count, is_now) AS requests, sumIf(error_count, is_now) AS errors,
    sumIf(bytes_sent + bytes_received, NOT is_now) AS size_before, sumIf(count, NOT is_now) AS requests_before,
    sumIf(error_count, NOT is_now) AS errors_before
FROM (SELECT *, bucket >= {start:DateTime('UTC')} AS is_now FROM {table} WHERE ({now} OR {before}){filters})
GROUP BY key ORDER BY {order} LIMIT {most:UInt32}
"""
_SERIES: Final = """
SELECT {bucket}, if({all:UInt8} OR {key} IN {keys:Array(String)}, {key}, '') AS charted, {sums}
FROM {table} WHERE {now}{filters}
GROUP BY segment, local, charted ORDER BY segment, local, charted LIMIT {most:UInt32}
"""
_IN_RANGE: Final = "bucket >= {{{0}start:DateTime('UTC')}} AND bucket < {{{0}end:DateTime('UTC')}}"
_PRODUCT: Final = "transform(order_id, {orders:Array(UInt64)}, {products:Array(UInt64)}, toUInt64(0))"


class UsageGroup(StrEnum):
    PROXY_TYPE = "type"
    PRODUCT = "product"
    GATEWAY = "gateway"
    COUNTRY = "country"
    CUSTOMER = "customer"


class UsageSort(StrEnum):
    TRAFFIC = "traffic"
    REQUESTS = "requests"
    ERRORS = "errors"
    BEFORE = "before"
    GREW = "grew"
    FELL = "fell"


_ORDERS: Final = {
    UsageSort.TRAFFIC: "size DESC, size_before DESC, key",
    UsageSort.REQUESTS: "requests DESC, requests_before DESC, key",
    UsageSort.ERRORS: "errors DESC, size DESC, key",
    UsageSort.BEFORE: "size_before DESC, size DESC, key",
    UsageSort.GREW: "toInt64(size) - toInt64(size_before) DESC, key",
    UsageSort.FELL: "toInt64(size) - toInt64(size_before), key",
}


@dataclass(frozen=True, slots=True)
class UsageFilters:
    """The filters of usage; a product or proxy type is resolved to its orders."""

    customer: int | None = None
    product: int | None = None
    proxy_type: str | None = None
    gateway: str | None = None
    country: str | None = None

    def sql(self) -> tuple[str, dict[str, Value]]:
        """Conditions that begin with AND, and their values."""
        text, params = "", dict[str, Value]()
        columns = {
            "user_id": ("UInt64", self.customer),
            "worker": ("String", self.gateway),
            "country": ("String", self.country),
        }
        for column, (type_, value) in columns.items():
            if value is not None:
                text += f" AND {column} = {{only_{column}:{type_}}}"
                params[f"only_{column}"] = value
        if self.product is not None or self.proxy_type is not None:
            orders = Order.objects.all()
            if self.product is not None:
                orders = orders.filter(product=self.product)
            if self.proxy_type is not None:
                orders = orders.filter(product__proxy_type=self.proxy_type)
            text += " AND order_id IN {only_orders:Array(UInt64)}"
            params["only_orders"] = list(orders.values_list("pk", flat=True))
        return text, params


@dataclass(frozen=True)
class UsageRequest:
    """The parameters of a report. No table has both gateways and countries, so they cannot be combined."""

    span: Span
    group: UsageGroup
    filters: UsageFilters = field(default_factory=UsageFilters)
    sort: UsageSort = UsageSort.TRAFFIC

    @property
    def is_possible(self) -> bool:
        names_country = self.group is UsageGroup.COUNTRY or self.filters.country is not None
        return not (names_country and self._names_gateway)

    @cached_property
    def key_sql(self) -> tuple[str, dict[str, Value]]:
        """The key of a row, with its values; read once, because they may name every order."""
        return _key(self.group)

    @cached_property
    def filter_sql(self) -> tuple[str, dict[str, Value]]:
        return self.filters.sql()

    @property
    def table(self) -> str:
        return "login_traffic" if self._names_gateway else "order_traffic"

    @property
    def _names_gateway(self) -> bool:
        return self.group is UsageGroup.GATEWAY or self.filters.gateway is not None


class UsageSums(NamedTuple):
    bytes: int = 0
    requests: int = 0
    errors: int = 0


class GroupUsage(NamedTuple):
    """A group in the range and in the previous period; ``name`` is empty if unknown."""

    key: str
    name: str
    bytes_sent: int
    bytes_received: int
    now: UsageSums
    before: UsageSums


class UsagePoint(NamedTuple):
    """A point of the chart; ``at`` is the instant of its start."""

    at: datetime
    label: str
    of_all: int
    before: int
    by_key: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The groups, the totals of all usage whether listed or not, and the chart of the five groups with most bytes."""

    groups: list[GroupUsage]
    total: UsageSums
    before: UsageSums
    charted: list[GroupUsage]
    points: list[UsagePoint]


def report(asked: UsageRequest) -> UsageReport:
    """Raises EngineError."""
    groups = list(groups_of(asked, MAX_GROUPS))
    charted = sorted(groups, key=lambda group: -group.now.bytes)[:MAX_CHARTED]
    charted = [group for group in charted if group.key and group.now.bytes]
    interval = Interval.for_range(asked.span.range.length)
    now = _series(asked, asked.span.range, interval, [group.key for group in charted])
    before = _series(asked, asked.span.previous, interval, [])
    points = list(_points(asked.span, interval, now, before))
    return UsageReport(groups, _total(now), _total(before), charted, points)


def groups_of(asked: UsageRequest, most: int) -> Iterator[GroupUsage]:
    """At most ``most`` groups, sorted as requested. Raises EngineError before the first one."""
    filters, only = asked.filter_sql
    key, values = asked.key_sql
    span = asked.span
    sql = _with(
        _GROUPS, key=key, table=asked.table, filters=filters, order=_ORDERS[asked.sort], now=_IN_RANGE.format(""),
        before=_IN_RANGE.format("previous_"),
    )  # fmt: skip
    params = {**only, **values, **_bounds(span.range), **_bounds(span.previous, "previous_"), "most": most}
    rows = get_client().fetch(sql, params, profile=HEAVY, tag="console.usage_groups")
    names = _names(asked.group, [row[0] for row in rows])
    return (
        GroupUsage(found, names.get(found, ""), sent, received, UsageSums(size, *now), UsageSums(*before))
        for found, sent, received, size, *sums in rows
        for now, before in [(sums[:2], sums[2:])]
    )


def points_of(asked: UsageRequest) -> Iterator[tuple[str, str, str, UsageSums]]:
    """Label, key, name and usage of each group and point, at most 100,000. Raises EngineError before the first one."""
    interval = Interval.for_range(asked.span.range.length)
    rows = _series(asked, asked.span.range, interval, None)
    names = _names(asked.group, list({key for _, key in rows}))
    return ((edge.label, key, names.get(key, ""), amounts) for (edge, key), amounts in rows.items())


Series = dict[tuple[BucketKey, str], UsageSums]


def _series(asked: UsageRequest, range_: Range, interval: Interval, keys: list[str] | None) -> Series:
    """Usage by point and key; unlisted keys are summed under an empty one. None lists all."""
    if range_.is_empty:
        return {}
    filters, only = asked.filter_sql
    key, values = asked.key_sql if keys != [] else ("''", {})
    grid = TimeGrid.over(range_, interval, asked.span.zone)
    bucket = bucket_key_columns(grid, "toUnixTimestamp(bucket)")
    sql = _with(
        _SERIES, bucket=bucket, key=key, sums=_SUMS, table=asked.table, now=_IN_RANGE.format(""), filters=filters
    )
    numbers = {"all": int(keys is None), "most": MAX_EXPORTED}
    params = {**only, **values, **_bounds(range_), "keys": keys or [], **numbers}
    rows = get_client().fetch(sql, params, profile=HEAVY, tag="console.usage_series")
    return {(BucketKey(segment, local), found): UsageSums(*sums) for segment, local, found, *sums in rows}


def _points(span: Span, interval: Interval, now: Series, before: Series) -> Iterator[UsagePoint]:
    """Every point of the range, also without usage; the previous period is aligned by local time."""
    grid = TimeGrid.over(span.range, interval, span.zone)
    earlier: dict[int, int] = {}
    for (edge, _), amounts in before.items():
        earlier[edge.local] = earlier.get(edge.local, 0) + amounts.bytes
    by_edge: dict[BucketKey, dict[str, int]] = {}
    for (edge, key), amounts in now.items():
        by_edge.setdefault(edge, {})[key] = amounts.bytes
    shift = int(span.shift.total_seconds())
    for edge in grid.edges():
        found = by_edge.get(edge, {})
        at = max(_instant(edge, grid, span), span.range.start)
        yield UsagePoint(at, edge.label, sum(found.values()), earlier.get(edge.local - shift, 0), found)


def _instant(edge: BucketKey, grid: TimeGrid, span: Span) -> datetime:
    local = EPOCH + timedelta(seconds=edge.local)
    if grid.is_by_day:
        return datetime.combine(local.date(), time(), span.zone).astimezone(UTC)
    return local - timedelta(seconds=grid.segments[edge.segment].offset)


def _total(series: Series) -> UsageSums:
    return UsageSums(*(sum(column) for column in zip(*series.values(), strict=True))) if series else UsageSums()


def _key(group: UsageGroup) -> tuple[str, dict[str, Value]]:
    """SQL for the key of a row as text, empty if unknown, and its values."""
    match group:
        case UsageGroup.GATEWAY:
            return "toString(worker)", {}
        case UsageGroup.COUNTRY:
            return "toString(country)", {}
        case UsageGroup.CUSTOMER:
            return "toString(user_id)", {}
    products = dict(Order.objects.values_list("pk", "product_id"))
    params: dict[str, Value] = {"orders": list(products) or [0], "products": list(products.values()) or [0]}
    if group is UsageGroup.PRODUCT:
        return f"if({_PRODUCT} = 0, '', toString({_PRODUCT}))", params
    types = dict(Product.objects.values_list("pk", "proxy_type"))
    params |= {"typed": list(types) or [0], "types": list(types.values()) or [""]}
    return f"transform({_PRODUCT}, {{typed:Array(UInt64)}}, {{types:Array(String)}}, '')", params


def _names(group: UsageGroup, keys: list[str]) -> dict[str, str]:
    """Display names of the keys; unknown ones are missing."""
    match group:
        case UsageGroup.CUSTOMER:
            found = User.objects.filter(pk__in=[key for key in keys if int(key) < 2**63])
            return {str(pk): name for pk, name in found.values_list("pk", "username")}
        case UsageGroup.PRODUCT:
            return {str(product.pk): product.name for product in Product.objects.all()}
        case UsageGroup.COUNTRY:
            return {key: countries.name_of(key) for key in keys if key != countries.UNKNOWN}
        case _:
            return {key: key for key in keys}


def _bounds(range_: Range, prefix: str = "") -> dict[str, Value]:
    return {f"{prefix}start": range_.start, f"{prefix}end": range_.end}


def _with(sql: str, **parts: Any) -> str:
    """The statement with these names in braces replaced; bound values stay."""
    for name, part in parts.items():
        sql = sql.replace(f"{{{name}}}", part)
    return sql
