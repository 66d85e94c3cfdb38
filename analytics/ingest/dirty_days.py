"""Days of orders whose ledger lines must be updated because rows arrived for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from typing import Final, NamedTuple

from analytics.models import IngestBatch

MAX_PAIRS: Final = 100_000


class DirtyDays(NamedTuple):
    """Pairs (order id, day) of some batches; ``history`` has the pairs of imported history."""

    ids: list[int]
    days: set[tuple[int, date]]
    history: set[tuple[int, date]]


def unaccounted(limit: int) -> DirtyDays:
    """The oldest settled batches that are not accounted for, with their (order id, day) pairs.

    At least one batch; no more once there are as many pairs as a statement can take.
    """
    waiting = IngestBatch.objects.filter(is_accounted=False, settled_at__isnull=False).order_by("id")
    rows: list[tuple[int, list[tuple[int, str]], str]] = []
    pairs = 0
    for row in waiting.values_list("id", "dirty_days", "route")[:limit].iterator():
        pairs += len(row[1])
        if rows and pairs > MAX_PAIRS:
            break
        rows.append(row)
    return DirtyDays(
        [number for number, _, _ in rows],
        _days(pairs for _, pairs, _ in rows),
        _days(pairs for _, pairs, route in rows if route == IngestBatch.Route.HISTORY),
    )


def waiting_days() -> set[tuple[int, date]]:
    """The pairs of all batches that are not accounted for, settled or not."""
    return _days(IngestBatch.objects.filter(is_accounted=False).values_list("dirty_days", flat=True).iterator())


def orders_under_way() -> set[int]:
    """The orders with rows in unsettled batches."""
    batches = IngestBatch.objects.filter(settled_at=None).values_list("dirty_days", flat=True)
    return {order_id for pairs in batches.iterator() for order_id, _ in pairs}


def orders_with_history() -> set[int]:
    """The orders with rows of imported history that are not accounted for."""
    batches = IngestBatch.objects.filter(is_accounted=False, route=IngestBatch.Route.HISTORY)
    return {order_id for pairs in batches.values_list("dirty_days", flat=True).iterator() for order_id, _ in pairs}


def _days(pairs_of_batches: Iterable[list[tuple[int, str]]]) -> set[tuple[int, date]]:
    return {(order_id, date.fromisoformat(day)) for pairs in pairs_of_batches for order_id, day in pairs}


def mark_accounted(batch_ids: Collection[int]) -> None:
    IngestBatch.objects.filter(id__in=batch_ids).update(is_accounted=True)
