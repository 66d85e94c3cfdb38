"""Which days of which orders the ledger has to look at again, because rows arrived for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from typing import Final, NamedTuple

from analytics.models import Batch

MOST_PAIRS: Final = 100_000


class Touched(NamedTuple):
    """``history`` has those of the days for which history was imported."""

    ids: list[int]
    days: set[tuple[int, date]]
    history: set[tuple[int, date]]


def unaccounted(limit: int) -> Touched:
    """The oldest batches in the engine that the ledger has not looked at, and the (order id, day) pairs they touch.

    At least one batch, and no more once they touch as many pairs as a statement can name.
    """
    waiting = Batch.objects.filter(is_accounted=False, settled_at__isnull=False).order_by("id")
    rows: list[tuple[int, list[tuple[int, str]], str]] = []
    pairs = 0
    for row in waiting.values_list("id", "touched", "route")[:limit].iterator():
        pairs += len(row[1])
        if rows and pairs > MOST_PAIRS:
            break
        rows.append(row)
    return Touched(
        [number for number, _, _ in rows],
        _days(pairs for _, pairs, _ in rows),
        _days(pairs for _, pairs, route in rows if route == Batch.Route.HISTORY),
    )


def waiting_days() -> set[tuple[int, date]]:
    """The pairs of all batches that the ledger has not looked at, in the engine or on their way to it."""
    return _days(Batch.objects.filter(is_accounted=False).values_list("touched", flat=True).iterator())


def orders_under_way() -> set[int]:
    """The orders with rows in batches that are not known to be in the engine."""
    batches = Batch.objects.filter(settled_at=None).values_list("touched", flat=True)
    return {order_id for pairs in batches.iterator() for order_id, _ in pairs}


def _days(touched: Iterable[list[tuple[int, str]]]) -> set[tuple[int, date]]:
    return {(order_id, date.fromisoformat(day)) for pairs in touched for order_id, day in pairs}


def mark_accounted(batch_ids: Collection[int]) -> None:
    Batch.objects.filter(id__in=batch_ids).update(is_accounted=True)
