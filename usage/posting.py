"""Sets the ledger's usage lines to what the traffic tables hold, for the days that batches touched.

Totals are absolute, so doing it again is harmless. What happens if the process dies: before the commit nothing has
changed and the batches are looked at again; after it they are done. Two that run at once meet at the orders' locks,
taken before the totals are read, so that an older total is never written over a newer one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from django.db import transaction

from accounts.models import Order
from analytics import reports, touched
from analytics.reports import Total
from usage import cut_off, ledger
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
        post_days(batches.days, now, history=batches.history)
        touched.mark_accounted(batches.ids)
    return len(batches.ids)


def post_days(
    days: Iterable[tuple[int, date]], now: datetime, *, history: Collection[tuple[int, date]] = ()
) -> list[LedgerEntry]:
    """Sets the usage lines of these (order id, day) pairs, in the caller's transaction; returns those that changed.

    What was imported for days of ``history`` before an order's period is not taken from that period. Orders that do
    not exist are passed over: their traffic is unattributed.
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
    changes = _changes({pair: totals.get(pair, Total(0, 0)) for pair in pairs})
    lines = _set_lines(changes, now)
    _leave_out(orders, {pair: change for pair, change in changes.items() if pair in history}, now)
    cut_off.publish([orders[pk] for pk in sorted({order_id for order_id, _ in changes})], now)
    return lines


class Change(NamedTuple):
    """A usage line's totals as they are now, and as the line has them."""

    now: Total
    before: Total


def _changes(totals: dict[tuple[int, date], Total]) -> dict[tuple[int, date], Change]:
    lines = LedgerEntry.objects.filter(
        order_id__in={order_id for order_id, _ in totals}, usage_day__in={day for _, day in totals}
    )
    held = {(line.order_id, line.usage_day): Total(-line.bytes, line.requests) for line in lines}
    changes = {pair: Change(total, held.get(pair, Total(0, 0))) for pair, total in sorted(totals.items())}
    return {pair: change for pair, change in changes.items() if change.now != change.before}


def _set_lines(changes: dict[tuple[int, date], Change], now: datetime) -> list[LedgerEntry]:
    lines = [
        LedgerEntry(
            order_id=order_id,
            reason=Reason.USAGE,
            bytes=-change.now.bytes,
            requests=change.now.requests,
            period_date=day,
            usage_day=day,
            created_at=now,
            updated_at=now,
        )
        for (order_id, day), change in changes.items()
    ]
    return LedgerEntry.objects.bulk_create(
        lines,
        update_conflicts=True,
        update_fields=["bytes", "requests", "updated_at"],
        unique_fields=["order", "usage_day"],
    )


def _leave_out(orders: Mapping[int, Order], imported: dict[tuple[int, date], Change], now: datetime) -> None:
    """Gives back what history took from a limit that it was not carried under."""
    before_it: Counter[int] = Counter()
    in_closed: Counter[int] = Counter()
    for (order_id, day), change in imported.items():
        order = orders[order_id]
        if order.limit_bytes is None:
            continue
        amount = change.now.bytes - change.before.bytes
        if day < order.period_started_at.astimezone(UTC).date():
            before_it[order_id] += amount
        elif order.period_closed_at is not None:
            in_closed[order_id] += amount
    for order_id, amount in in_closed.items():
        ledger.post(orders[order_id], Reason.ADJUSTMENT, amount, now=now, note="imported history", closes_period=True)
    for order_id, amount in before_it.items():
        orders[order_id].carried_before += amount
        orders[order_id].save(update_fields=["carried_before"])
        ledger.post(orders[order_id], Reason.ADJUSTMENT, amount, now=now, note="imported history", in_period=False)
