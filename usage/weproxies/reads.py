"""A customer's usage in the shapes of WeProxies' usage API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from analytics import reports
from analytics.reports import Usage
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.countries import name_of
from fonproxy.timerange import Range, TimeGrid
from fonproxy.units import GIB
from orders import selectors
from orders.models import Order
from usage.ids import subscription_id
from usage.periods import Granularity, bounds, label, stamp

MAX_POINTS: Final = 10_000


def gigabytes(size: int) -> float:
    return round(size / GIB, 2)


def success_rate(used: Usage) -> float:
    """Per cent of requests without an error, 0 to 100; 100 without requests."""
    if not used.requests:
        return 100.0
    return round(max(0.0, 100 * (used.requests - used.errors) / used.requests), 1)


def summary(user_id: int, range_: Range, zone: ZoneInfo, order: Order | None = None) -> dict[str, Any]:
    """Totals of the range, by subscription (most bytes first) and by country (most requests first)."""
    found = reports.by_order_and_country(user_id, range_, order.pk if order else None)
    by_order = _added_up((place.order_id, used) for place, used in found.items())
    by_country = _added_up((place.country, used) for place, used in found.items())
    total = sum(found.values(), Usage())
    names = {order.pk: order.product.name for order in selectors.orders_of(user_id).filter(pk__in=list(by_order))}
    return {
        "period": bounds(range_, zone),
        "total": {
            "bytes_used": total.bytes,
            "gb_used": gigabytes(total.bytes),
            "requests": total.requests,
            "success_rate": success_rate(total),
        },
        "by_subscription": [
            {
                "subscription_id": subscription_id(order_id),
                "product_name": names[order_id],
                "bytes_used": used.bytes,
                "gb_used": gigabytes(used.bytes),
                "requests": used.requests,
            }
            for order_id, used in sorted(by_order.items(), key=lambda pair: (-pair[1].bytes, pair[0]))
            if order_id in names  # traffic of unknown orders belongs to no subscription
        ],
        "by_country": [
            {"country": country, "requests": used.requests, "bytes": used.bytes}
            for country, used in _most_requested(by_country)
        ],
    }


def _added_up(pairs: Iterable[tuple[Any, Usage]]) -> dict[Any, Usage]:
    sums: dict[Any, Usage] = {}
    for key, used in pairs:
        sums[key] = sums.get(key, Usage()) + used
    return sums


def _most_requested(by_country: Mapping[str, Usage]) -> list[tuple[str, Usage]]:
    return sorted(by_country.items(), key=lambda pair: (-pair[1].requests, pair[0]))


def history(
    user_id: int, range_: Range, granularity: Granularity, zone: ZoneInfo, order: Order | None
) -> dict[str, Any]:
    """A point for every hour, day, week or month of the range, zeros included. Raises InvalidInput."""
    _refuse_too_many(granularity, range_)
    axis = TimeGrid.over(range_, granularity.interval, zone)
    labels = {edge: label(edge, axis, granularity, zone) for edge in axis.edges()}
    points = dict.fromkeys(labels.values(), Usage())
    for edge, used in reports.over_time(user_id, range_, axis, order.pk if order else None).items():
        points[labels[edge]] += used
    return {
        "period": bounds(range_, zone),
        "granularity": granularity.value,
        "data_points": [
            {
                "timestamp": at,
                "bytes": used.bytes,
                "requests": used.requests,
                "success_rate": success_rate(used),
            }
            for at, used in points.items()
        ],
    }


def _refuse_too_many(granularity: Granularity, range_: Range) -> None:
    """Raises InvalidInput before any point is created. There are never too many weeks or months."""
    points = range_.length.total_seconds() / granularity.interval.seconds
    if granularity in (Granularity.HOURLY, Granularity.DAILY) and points > MAX_POINTS:
        message = f"Has {points:,.0f} points; the maximum is {MAX_POINTS:,}."
        raise InvalidInput("The response would be too long.", errors=[FieldError("granularity", message)])


def realtime(user_id: int, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    live = reports.recent_usage(user_id, now)
    active = sum(live.active.values())
    return {
        "timestamp": stamp(now, zone),
        "current_minute": {
            "requests": live.minute.requests,
            "bytes": live.minute.bytes,
            "active_sessions": active,
        },
        "last_hour": {
            "requests": live.hour.requests,
            "bytes": live.hour.bytes,
            "avg_response_time_ms": round(live.hour_duration_ms / live.hour.requests) if live.hour.requests else 0,
        },
        "active_connections": {
            "total": active,
            "by_country": dict(sorted(live.active.items(), key=lambda pair: (-pair[1], pair[0]))),
        },
    }


def by_country(user_id: int, range_: Range, limit: int) -> dict[str, Any]:
    """The countries with most requests; ``percentage`` is the share of all requests, not only of the listed ones."""
    found = reports.by_order_and_country(user_id, range_)
    countries = _added_up((place.country, used) for place, used in found.items())
    total = sum(used.requests for used in countries.values())
    return {
        "countries": [
            {
                "country_code": country,
                "country_name": name_of(country),
                "requests": used.requests,
                "bytes": used.bytes,
                "percentage": round(100 * used.requests / total, 1) if total else 0.0,
            }
            for country, used in _most_requested(countries)[:limit]
        ]
    }
