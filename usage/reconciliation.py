"""Compares usage lines with the traffic tables, and limits with the credits.

Metering updates usage lines every two seconds for the days of new batches; the nightly comparison finds what it missed.
Differences are recorded for staff and corrected.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.models import Sum

from analytics import reports
from analytics.ingest import dirty_days
from orders.models import LedgerEntry, LedgerMismatch, LedgerReason, Order
from usage import metering

# Orders in a transaction, which keeps other writers waiting on SQLite.
ORDERS: Final = 50


def reconcile(now: datetime) -> list[LedgerMismatch]:
    """Reconciles all orders and returns the differences. Raises EngineError; earlier corrections stay."""
    clock = metering.advancing(now)
    metering.post_usage(next(clock))
    return [found for chunk, at in zip(_chunks(), clock, strict=False) for found in _reconcile(chunk, at)]


def _chunks() -> Iterator[list[int]]:
    last = 0
    while chunk := list(Order.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:ORDERS]):
        yield chunk
        last = chunk[-1]


def _reconcile(order_ids: list[int], now: datetime) -> list[LedgerMismatch]:
    with transaction.atomic():
        orders = list(Order.objects.locked().filter(pk__in=order_ids).order_by("pk"))
        found = [*_usage_differences(orders, now), *_limit_differences(orders, now)]
        LedgerMismatch.objects.bulk_create(found)
    return found


def _usage_differences(orders: list[Order], now: datetime) -> Iterator[LedgerMismatch]:
    lines = LedgerEntry.objects.filter(order__in=orders, reason=LedgerReason.USAGE)
    recorded = {(line.order_id, line.period_date): -line.bytes for line in lines}
    measured = reports.all_daily_totals({order.pk: order.user_id for order in orders})
    # Not the days of new batches, which metering is about to post.
    days: set[tuple[int, date]] = {
        pair
        for pair in (recorded.keys() | measured.keys()) - dirty_days.waiting_days()
        if recorded.get(pair, 0) != (measured[pair].bytes if pair in measured else 0)
    }
    for line in metering.post_days(days, now):
        pair = (line.order_id, line.period_date)
        yield LedgerMismatch(
            order_id=line.order_id,
            day=line.period_date,
            recorded=recorded.get(pair, 0),
            measured=-line.bytes,
            found_at=now,
        )


def _limit_differences(orders: list[Order], now: datetime) -> Iterator[LedgerMismatch]:
    posted = (
        LedgerEntry.objects.filter(order__in=orders, closes_period=False).exclude(reason=LedgerReason.USAGE).order_by()
    )
    sums = posted.values_list("order_id", "period_number").annotate(Sum("bytes"))
    by_period = {(order_id, number): total for order_id, number, total in sums}
    for order in orders:
        measured = by_period.get((order.pk, order.period_number), 0)
        if order.limit_bytes is not None and order.limit_bytes != measured:
            yield LedgerMismatch(order=order, recorded=order.limit_bytes, measured=measured, found_at=now)
            order.added_bytes += measured - order.limit_bytes
            order.save(update_fields=["added_bytes"])
