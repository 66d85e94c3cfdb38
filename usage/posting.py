"""Sets the ledger's usage lines to what the traffic tables hold, for the days that batches touched.

Totals are absolute, so doing it again is harmless. What happens if the process dies: before the commit nothing has
changed and the batches are looked at again; after it they are done. Two that run at once meet at the orders' locks,
taken before the totals are read, so that an older total is never written over a newer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from django.db import transaction

from accounts.models import Order
from analytics import reports, touched
from analytics.reports import Total
from usage import cut_off
from usage.models import LedgerEntry, Reason

BATCHES = 500


def post_usage(now: datetime) -> int:
    """Brings the ledger up to date; returns the number of batches accounted for. Raises EngineError."""
    done = 0
    while count := _post_some(now):
        done += count
    return done


def _post_some(now: datetime) -> int:
    batches = touched.unaccounted(BATCHES)
    if not batches.ids:
        return 0
    with transaction.atomic():
        post_days(batches.days, now)
        touched.mark_accounted(batches.ids)
    return len(batches.ids)


def post_days(days: Iterable[tuple[int, date]], now: datetime) -> list[LedgerEntry]:
    """Sets the usage lines of these (order id, day) pairs, in the caller's transaction; returns those that changed.

    Orders that do not exist are passed over: their traffic is unattributed.
    """
    wanted = set(days)
    orders = {
        order.pk: order
        for order in Order.objects.select_for_update()
        .filter(pk__in={order_id for order_id, _ in wanted})
        .order_by("pk")
    }
    pairs = {(order_id, day): orders[order_id].user_id for order_id, day in wanted if order_id in orders}
    totals = reports.daily_totals(pairs)
    changed = _set_lines({pair: totals.get(pair, Total(0, 0)) for pair in pairs}, now)
    cut_off.publish([orders[pk] for pk in sorted({entry.order_id for entry in changed})], now)
    return changed


def _set_lines(totals: dict[tuple[int, date], Total], now: datetime) -> list[LedgerEntry]:
    lines = LedgerEntry.objects.filter(
        order_id__in={order_id for order_id, _ in totals}, usage_day__in={day for _, day in totals}
    )
    held = {(line.order_id, line.usage_day): Total(-line.bytes, line.requests) for line in lines}
    changed = [
        LedgerEntry(
            order_id=order_id,
            reason=Reason.USAGE,
            bytes=-total.bytes,
            requests=total.requests,
            period_date=day,
            usage_day=day,
            created_at=now,
            updated_at=now,
        )
        for (order_id, day), total in sorted(totals.items())
        if total != held.get((order_id, day), Total(0, 0))
    ]
    return LedgerEntry.objects.bulk_create(
        changed,
        update_conflicts=True,
        update_fields=["bytes", "requests", "updated_at"],
        unique_fields=["order", "usage_day"],
    )
