"""Sets the ledger's usage lines to the totals of the traffic tables, for the days of new batches.

Totals are absolute, so repeating is harmless. A run posts some orders per transaction and then marks the batches: if
the process dies in between, they are processed again, and only what is missing changes. The orders' locks serialize
concurrent runs; they are taken before the totals are read, so an older total never overwrites a newer one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from time import monotonic
from typing import NamedTuple

from django.db import transaction

from analytics import reports
from analytics.ingest import dirty_days
from analytics.reports import DailyTotal
from fonproxy.sqlite import let_others_write
from orders import enforcement, ledger
from orders.models import LedgerEntry, LedgerReason, Order
from usage import limits

BATCHES = 500
# (order id, day) pairs in a transaction, which keeps other writers waiting on SQLite.
PAIRS = 500
# How often current traffic is looked for while history is posted.
LOOK_SECONDS = 2.0


def post_usage(now: datetime) -> int:
    """Posts the batches that have arrived so far; returns the number of batches accounted for. Raises EngineError.

    Imported history may take minutes. Current traffic is posted before it and every two seconds in between, because
    cut-offs depend on it.
    """
    until, clock = dirty_days.newest(), advancing(now)
    done = _post_current(until, clock)
    while (batches := dirty_days.unaccounted(1, until, history=True)).ids:
        looked_at = monotonic()
        for days in _portions(batches.days):
            _post(days, next(clock), batches.days)
            if monotonic() - looked_at >= LOOK_SECONDS:
                done += _post_current(dirty_days.newest(), clock)
                looked_at = monotonic()
        dirty_days.mark_accounted(batches.ids)
        done += len(batches.ids)
    return done


def _post_current(until: int, clock: Iterator[datetime]) -> int:
    done = 0
    while (batches := dirty_days.unaccounted(BATCHES, until)).ids:
        history = dirty_days.waiting_history({order_id for order_id, _ in batches.days})
        for days in _portions(batches.days):
            _post(days, next(clock), history)
        dirty_days.mark_accounted(batches.ids)
        done += len(batches.ids)
    return done


def advancing(now: datetime) -> Iterator[datetime]:
    """Yields the given time, then the current time of each following transaction, before which others can write.

    A run may last minutes, and a client that polls for changes must not miss any that are timestamped before its last
    poll.
    """
    began, at = monotonic(), now
    while True:
        yield at
        let_others_write()
        at = now + timedelta(seconds=monotonic() - began)


def _portions(days: Collection[tuple[int, date]]) -> Iterator[list[tuple[int, date]]]:
    """The pairs in portions of whole orders."""
    portion: list[tuple[int, date]] = []
    for _, pairs in groupby(sorted(days), itemgetter(0)):
        portion += pairs
        if len(portion) >= PAIRS:
            yield portion
            portion = []
    if portion:
        yield portion


def _post(days: Collection[tuple[int, date]], now: datetime, history: Collection[tuple[int, date]]) -> None:
    with transaction.atomic():
        limited = limits.lock({order_id for order_id, _ in days})
        post_days(days, now, history=history)
        limits.enforce(limited, now)


def post_days(
    days: Iterable[tuple[int, date]], now: datetime, *, history: Collection[tuple[int, date]] = ()
) -> list[LedgerEntry]:
    """Sets the usage lines of these (order id, day) pairs in the caller's transaction; returns the changed lines.

    Traffic imported for pairs of ``history`` before an order's period does not count against that period. Pairs of
    unknown orders are skipped, because their traffic is unattributed.
    """
    wanted = set(days)
    orders = {
        order.pk: order
        for order in Order.objects.locked().filter(pk__in={order_id for order_id, _ in wanted}).order_by("pk")
    }
    pairs = {(order_id, day): orders[order_id].user_id for order_id, day in wanted if order_id in orders}
    totals = reports.daily_totals(pairs)
    changes = _changes({pair: totals.get(pair, DailyTotal(0, 0)) for pair in pairs})
    lines = _set_lines(changes, now)
    _leave_out(orders, {pair: change for pair, change in changes.items() if pair in history}, now)
    enforcement.publish([orders[pk] for pk in sorted({order_id for order_id, _ in changes})], now)
    return lines


class UsageLineChange(NamedTuple):
    """The new and the recorded totals of a usage line."""

    now: DailyTotal
    before: DailyTotal


def _changes(totals: dict[tuple[int, date], DailyTotal]) -> dict[tuple[int, date], UsageLineChange]:
    lines = LedgerEntry.objects.filter(
        order_id__in={order_id for order_id, _ in totals}, usage_day__in={day for _, day in totals}
    )
    held = {(line.order_id, line.usage_day): DailyTotal(-line.bytes, line.requests) for line in lines}
    changes = {pair: UsageLineChange(total, held.get(pair, DailyTotal(0, 0))) for pair, total in sorted(totals.items())}
    return {pair: change for pair, change in changes.items() if change.now != change.before}


def _set_lines(changes: dict[tuple[int, date], UsageLineChange], now: datetime) -> list[LedgerEntry]:
    lines = [
        LedgerEntry(
            order_id=order_id,
            reason=LedgerReason.USAGE,
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


def _leave_out(orders: Mapping[int, Order], imported: dict[tuple[int, date], UsageLineChange], now: datetime) -> None:
    """Keeps imported traffic out of the usage of a later period and the balance of a closed one."""
    before_it: Counter[int] = Counter()
    in_closed: Counter[int] = Counter()
    for (order_id, day), change in imported.items():
        order = orders[order_id]
        amount = change.now.bytes - change.before.bytes
        if day < order.period_started_at.astimezone(UTC).date():
            before_it[order_id] += amount
        elif order.period_closed_at is not None:
            in_closed[order_id] += amount
    for order_id, amount in before_it.items():
        orders[order_id].used_before_period += amount
        orders[order_id].save(update_fields=["used_before_period"])
        _credit_back(orders[order_id], amount, now, in_period=False)
    for order_id, amount in in_closed.items():
        _credit_back(orders[order_id], amount, now, in_period=True)


def _credit_back(order: Order, amount: int, now: datetime, *, in_period: bool) -> None:
    """Credits imported bytes back to a metered order's balance; ``in_period`` is for its current, closed period."""
    if order.limit_bytes is not None:
        note = "imported history"
        ledger.post(
            order, LedgerReason.ADJUSTMENT, amount, now=now, note=note, in_period=in_period, closes_period=in_period
        )
