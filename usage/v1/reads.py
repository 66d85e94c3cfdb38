"""Asks for a customer's usage and shapes it as the usage API does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from accounts import selectors
from accounts.models import Order
from analytics import reports
from analytics.reports import Carried
from fonproxy.api.errors import FieldError, InvalidInput
from fonproxy.countries import name_of
from fonproxy.timerange import Axis, Range
from usage.periods import Granularity, bounds, label, stamp
from usage.v1.ids import subscription_id

GB: Final = 2**30
MOST_POINTS: Final = 10_000


def gigabytes(size: int) -> float:
    return round(size / GB, 2)


def success_rate(carried: Carried) -> float:
    """Per cent of requests without an error, 0 to 100; 100 without requests."""
    if not carried.requests:
        return 100.0
    return round(max(0.0, 100 * (carried.requests - carried.errors) / carried.requests), 1)


def summary(user_id: int, range_: Range, zone: ZoneInfo, order: Order | None = None) -> dict[str, Any]:
    """Totals of the range, by subscription (most bytes first) and by country (most requests first)."""
    found = reports.by_place(user_id, range_, order.pk if order else None)
    by_order = _added_up((place.order_id, carried) for place, carried in found.items())
    by_country = _added_up((place.country, carried) for place, carried in found.items())
    total = sum(found.values(), Carried())
    names = {held.pk: held.product.name for held in selectors.orders_of(user_id).filter(pk__in=list(by_order))}
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
                "bytes_used": carried.bytes,
                "gb_used": gigabytes(carried.bytes),
                "requests": carried.requests,
            }
            for order_id, carried in sorted(by_order.items(), key=lambda pair: (-pair[1].bytes, pair[0]))
            if order_id in names  # what was pushed for no order of the customer belongs to none
        ],
        "by_country": [
            {"country": country, "requests": carried.requests, "bytes": carried.bytes}
            for country, carried in _most_requested(by_country)
        ],
    }


def _added_up(pairs: Iterable[tuple[Any, Carried]]) -> dict[Any, Carried]:
    sums: dict[Any, Carried] = {}
    for key, carried in pairs:
        sums[key] = sums.get(key, Carried()) + carried
    return sums


def _most_requested(by_country: Mapping[str, Carried]) -> list[tuple[str, Carried]]:
    return sorted(by_country.items(), key=lambda pair: (-pair[1].requests, pair[0]))


def history(
    user_id: int, range_: Range, granularity: Granularity, zone: ZoneInfo, order: Order | None
) -> dict[str, Any]:
    """A point for every hour, day, week or month of the range, zeros included. Raises InvalidInput."""
    _refuse_too_many(granularity, range_)
    axis = Axis.over(range_, granularity.interval, zone)
    labels = {edge: label(edge, axis, granularity, zone) for edge in axis.edges()}
    points = dict.fromkeys(labels.values(), Carried())
    for edge, carried in reports.over_time(user_id, range_, axis, order.pk if order else None).items():
        points[labels[edge]] += carried
    return {
        "period": bounds(range_, zone),
        "granularity": granularity.value,
        "data_points": [
            {
                "timestamp": at,
                "bytes": carried.bytes,
                "requests": carried.requests,
                "success_rate": success_rate(carried),
            }
            for at, carried in points.items()
        ],
    }


def _refuse_too_many(granularity: Granularity, range_: Range) -> None:
    """Before any point is made: weeks and months of all the years there are, are few enough."""
    points = range_.length.total_seconds() / granularity.interval.seconds
    if granularity in (Granularity.HOURLY, Granularity.DAILY) and points > MOST_POINTS:
        message = f"Has {points:,.0f} points; at most {MOST_POINTS:,} are told."
        raise InvalidInput("The answer would be too long.", errors=[FieldError("granularity", message)])


def realtime(user_id: int, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    live = reports.live(user_id, now)
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
    """The countries with most requests; ``percentage`` is of all requests, not only of those listed."""
    found = reports.by_place(user_id, range_)
    countries = _added_up((place.country, carried) for place, carried in found.items())
    total = sum(carried.requests for carried in countries.values())
    return {
        "countries": [
            {
                "country_code": country,
                "country_name": name_of(country),
                "requests": carried.requests,
                "bytes": carried.bytes,
                "percentage": round(100 * carried.requests / total, 1) if total else 0.0,
            }
            for country, carried in _most_requested(countries)[:limit]
        ]
    }
