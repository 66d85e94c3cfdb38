"""Days of orders whose ledger lines must be updated because rows arrived for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from django.db.models import Max, Q

from analytics.models import IngestBatch

MAX_PAIRS: Final = 100_000


class DirtyDays(NamedTuple):
    """Pairs (order id, day) of some batches."""

    ids: list[int]
    days: set[tuple[int, date]]


def newest() -> int:
    """The number of the newest batch, to end a run although batches keep arriving."""
    number: int = IngestBatch.objects.aggregate(newest=Max("id", default=0))["newest"]
    return number


def unaccounted(limit: int, until: int, *, history: bool = False) -> DirtyDays:
    """The oldest settled batches, up to that number, that are not accounted for: imported history, or all others.

    At least one batch; no more once there are ``MAX_PAIRS`` pairs.
    """
    is_history = Q(route=IngestBatch.Route.HISTORY)
    waiting = IngestBatch.objects.filter(is_history if history else ~is_history, id__lte=until, is_accounted=False)
    rows: list[tuple[int, list[tuple[int, str]]]] = []
    pairs = 0
    settled = waiting.filter(settled_at__isnull=False).order_by("id")
    for row in settled.values_list("id", "dirty_days")[:limit].iterator():
        pairs += len(row[1])
        if rows and pairs > MAX_PAIRS:
            break
        rows.append(row)
    return DirtyDays([number for number, _ in rows], _days(pairs for _, pairs in rows))


def waiting_history(orders: Collection[int]) -> set[tuple[int, date]]:
    """The pairs of these orders in batches of imported history that are not accounted for, settled or not."""
    return _days([pair for pair in pairs if pair[0] in orders] for pairs in _waiting_history())


def waiting_days() -> set[tuple[int, date]]:
    """The pairs of all batches that are not accounted for, settled or not."""
    return _days(IngestBatch.objects.filter(is_accounted=False).values_list("dirty_days", flat=True).iterator())


def orders_under_way() -> set[int]:
    """The orders with rows in unsettled batches."""
    batches = IngestBatch.objects.filter(settled_at=None).values_list("dirty_days", flat=True)
    return {order_id for pairs in batches.iterator() for order_id, _ in pairs}


def orders_with_history() -> set[int]:
    """The orders with rows of imported history that are not accounted for."""
    return {order_id for pairs in _waiting_history() for order_id, _ in pairs}


def _waiting_history() -> Iterator[list[tuple[int, str]]]:
    batches = IngestBatch.objects.filter(is_accounted=False, route=IngestBatch.Route.HISTORY)
    return batches.values_list("dirty_days", flat=True).iterator()


def _days(pairs_of_batches: Iterable[list[tuple[int, str]]]) -> set[tuple[int, date]]:
    return {(order_id, date.fromisoformat(day)) for pairs in pairs_of_batches for order_id, day in pairs}


def mark_accounted(batch_ids: Collection[int]) -> None:
    IngestBatch.objects.filter(id__in=batch_ids).update(is_accounted=True)
