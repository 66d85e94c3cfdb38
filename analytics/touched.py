"""Which days of which orders the ledger has to look at again, because rows arrived for them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

from analytics.models import Batch


class Touched(NamedTuple):
    ids: list[int]
    days: set[tuple[int, date]]


def unaccounted(limit: int) -> Touched:
    """The oldest batches in the engine that the ledger has not looked at, and the (order id, day) pairs they touch."""
    waiting = Batch.objects.filter(is_accounted=False, settled_at__isnull=False).order_by("id")
    rows = list(waiting.values_list("id", "touched")[:limit])
    return Touched(
        [number for number, _ in rows],
        {(order_id, date.fromisoformat(day)) for _, pairs in rows for order_id, day in pairs},
    )


def mark_accounted(batch_ids: Collection[int]) -> None:
    Batch.objects.filter(id__in=batch_ids).update(is_accounted=True)
