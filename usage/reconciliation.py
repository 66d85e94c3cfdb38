"""Compares the ledger with what it is made from: usage lines with the traffic tables, limits with the credits.

Usage is set from the tables every two seconds for the days that batches touched; this finds what that missed. What
differs is kept for staff to see, and set right.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.models import Sum

from accounts.models import Order
from analytics import reports, touched
from usage import posting
from usage.models import Difference, LedgerEntry, Reason

ORDERS: Final = 500


def reconcile(now: datetime) -> list[Difference]:
    """Goes through all orders and returns what differed. Raises EngineError; what was done until then stays done."""
    posting.post_usage(now)
    return [difference for chunk in _chunks() for difference in _reconcile(chunk, now)]


def _chunks() -> Iterator[list[int]]:
    last = 0
    while chunk := list(Order.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:ORDERS]):
        yield chunk
        last = chunk[-1]


def _reconcile(order_ids: list[int], now: datetime) -> list[Difference]:
    with transaction.atomic():
        orders = list(Order.objects.select_for_update().filter(pk__in=order_ids).order_by("pk"))
        found = [*_usage_differences(orders, now), *_limit_differences(orders, now)]
        Difference.objects.bulk_create(found)
    return found


def _usage_differences(orders: list[Order], now: datetime) -> Iterator[Difference]:
    lines = LedgerEntry.objects.filter(order__in=orders, reason=Reason.USAGE)
    recorded = {(line.order_id, line.period_date): -line.bytes for line in lines}
    measured = reports.all_daily_totals({order.pk: order.user_id for order in orders})
    # Rows that have just arrived are no difference: they are about to be posted.
    days: set[tuple[int, date]] = {
        pair
        for pair in (recorded.keys() | measured.keys()) - touched.waiting_days()
        if recorded.get(pair, 0) != (measured[pair].bytes if pair in measured else 0)
    }
    for line in posting.post_days(days, now):
        pair = (line.order_id, line.period_date)
        yield Difference(
            order_id=line.order_id,
            day=line.period_date,
            recorded=recorded.get(pair, 0),
            measured=-line.bytes,
            found_at=now,
        )


def _limit_differences(orders: list[Order], now: datetime) -> Iterator[Difference]:
    posted = LedgerEntry.objects.filter(order__in=orders, closes_period=False).exclude(reason=Reason.USAGE).order_by()
    sums = posted.values_list("order_id", "period_number").annotate(Sum("bytes"))
    by_period = {(order_id, number): total for order_id, number, total in sums}
    for order in orders:
        measured = by_period.get((order.pk, order.period_number), 0)
        if order.limit_bytes is not None and order.limit_bytes != measured:
            yield Difference(order=order, recorded=order.limit_bytes, measured=measured, found_at=now)
            order.added_bytes += measured - order.limit_bytes
            order.save(update_fields=["added_bytes"])
