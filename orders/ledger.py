"""Reading and posting ledger entries. ``orders.services`` decides what is posted."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime
from typing import Final

from django.db.models import F, Max, Q, QuerySet, Sum, Window
from django.db.models.functions import TruncDate

from fonproxy.api.errors import Conflict
from fonproxy.prepared import Prepared
from orders.models import LedgerEntry, LedgerReason, Order

SYSTEM: Final = "fonproxy"
# Queries for more orders than this are compiled each time.
MAX_PREPARED: Final = 256


def _sums(order_ids: Collection[int]) -> QuerySet[LedgerEntry, tuple[int, int]]:
    lines = LedgerEntry.objects.filter(order_id__in=order_ids).order_by()
    return lines.values_list("order_id").annotate(Sum("bytes"))


# Every sign-in at a gateway asks for a balance.
_prepared_sums: Final = Prepared(_sums, int)


def balances(order_ids: Collection[int]) -> dict[int, int]:
    """The sum of each order's ledger in bytes, which is the remainder of its limit. 0 for an order without entries."""
    sums = _prepared_sums.rows(list(order_ids)) if len(order_ids) <= MAX_PREPARED else _sums(order_ids)
    return dict.fromkeys(order_ids, 0) | dict(sums)


def balance(order: Order) -> int:
    return balances([order.pk])[order.pk]


def used_in_total(order_ids: Collection[int]) -> dict[int, int]:
    """The total bytes of each order's usage lines."""
    lines = LedgerEntry.objects.filter(order_id__in=order_ids, reason=LedgerReason.USAGE).order_by()
    sums = lines.values_list("order_id").annotate(Sum("bytes"))
    return dict.fromkeys(order_ids, 0) | {order_id: -total for order_id, total in sums}


def statement(order: Order, first: date | None, last: date | None) -> QuerySet[LedgerEntry]:
    """The order's lines of these days (both inclusive), newest first, each with the ``balance`` in bytes after it.

    Lines are sorted by the day of posting; usage comes last on its day, because its line is created at the day's first
    traffic and grows from then on.
    """
    posted = (TruncDate("created_at", tzinfo=UTC), F("usage_day").asc(nulls_first=True), F("pk").asc())
    lines = LedgerEntry.objects.filter(order=order).annotate(
        balance=Window(Sum("bytes"), order_by=posted),
        # A condition on a column would drop lines from the balance; a condition on the window is applied after it.
        day=Window(Max("period_date"), partition_by="pk"),
        posted_day=TruncDate("created_at", tzinfo=UTC),
    )
    since = Q(day__gte=first) if first else Q()
    until = Q(day__lte=last) if last else Q()
    return lines.filter(since, until).order_by("-posted_day", F("usage_day").desc(nulls_last=True), "-pk")


def used(orders: Collection[Order]) -> dict[int, int]:
    """Bytes that each order used in its current period."""
    ever = used_in_total([order.pk for order in orders])
    return {order.pk: ever[order.pk] - order.used_before_period for order in orders}


def closings(orders: Collection[Order]) -> dict[int, int]:
    """The remainder withdrawn at the end of each order's current period, negative or 0."""
    sums = LedgerEntry.objects.filter(order__in=orders, closes_period=True).order_by()
    by_period = sums.values_list("order_id", "period_number").annotate(Sum("bytes"))
    current = {order.pk: order.period_number for order in orders}
    taken = {order_id: total for order_id, number, total in by_period if current[order_id] == number}
    return dict.fromkeys(current, 0) | taken


def earlier(order: Order, reference: str | None, reason: LedgerReason, amount: int | None) -> LedgerEntry | None:
    """The earlier entry with this reference.

    Raises Conflict when it belongs to another posting; with an ``amount`` of None any amount matches.
    """
    entry = LedgerEntry.objects.filter(order=order, reference=reference).first() if reference is not None else None
    if entry is None or (entry.reason == reason and amount in (None, entry.bytes)):
        return entry
    raise Conflict(f"The reference {reference!r} was used before, for a {entry.reason} of {entry.bytes} bytes.")


def post(
    order: Order,
    reason: LedgerReason,
    amount: int,
    *,
    now: datetime,
    author: str = SYSTEM,
    note: str = "",
    reference: str | None = None,
    closes_period: bool = False,
    in_period: bool = True,
) -> LedgerEntry:
    """Adds a line, except of usage, by default to the order's current period. The caller holds the order's lock."""
    return LedgerEntry.objects.create(
        order=order,
        reason=reason,
        bytes=amount,
        period_date=now.astimezone(UTC).date(),
        period_number=order.period_number if in_period else None,
        closes_period=closes_period,
        adjustment_number=_next_adjustment(order) if reason != LedgerReason.SERVICE_PURCHASE else None,
        reference=reference,
        author=author,
        note=note,
        created_at=now,
        updated_at=now,
    )


def _next_adjustment(order: Order) -> int:
    """The next number within the order: a global number would reveal how busy other customers are."""
    return LedgerEntry.objects.filter(order=order, adjustment_number__isnull=False).count() + 1
