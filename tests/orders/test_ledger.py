"""What the ledger reads and posts, without the services that decide when to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.forms import model_to_dict
from django.utils import timezone

from accounts.models import User
from fonproxy.api.errors import Conflict
from orders import ledger
from orders.models import LedgerEntry, LedgerReason, Order

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice, limit=100, started_at=START, now=START)


@pytest.fixture
def other(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice, limit=7, started_at=START, now=START)


def use(order: Order, at: datetime, size: int) -> LedgerEntry:
    """A usage line as metering writes it."""
    return LedgerEntry.objects.create(
        order=order, reason=LedgerReason.USAGE, bytes=-size, requests=1, period_date=at.date(), usage_day=at.date(),
        created_at=at, updated_at=at,
    )  # fmt: skip


def test_balances_are_returned_for_the_given_orders_only(order: Order, other: Order) -> None:
    use(order, START, 30)
    assert ledger.balances([order.pk]) == {order.pk: 70}
    assert ledger.balances([order.pk, other.pk, 0]) == {order.pk: 70, other.pk: 7, 0: 0}


def test_total_usage_is_returned_for_the_given_orders_only(order: Order, other: Order) -> None:
    use(order, START, 30)
    use(order, START + DAY, 5)
    use(other, START, 2)
    assert ledger.used_in_total([order.pk]) == {order.pk: 35}
    assert ledger.used_in_total([order.pk, 0]) == {order.pk: 35, 0: 0}


def test_usage_of_a_period_leaves_out_earlier_usage(order: Order) -> None:
    use(order, START, 30)
    order.used_before_period = 20
    assert ledger.used([order]) == {order.pk: 10}


def lines(order: Order, first: date | None = None, last: date | None = None) -> list[tuple[int, int]]:
    return [(line.bytes, line.balance) for line in ledger.statement(order, first, last)]  # type: ignore[attr-defined]


def test_a_statement_has_the_usage_of_a_day_after_its_credits_newest_first(order: Order, other: Order) -> None:
    use(order, START, 30)
    ledger.post(order, LedgerReason.TOP_UP, 5, now=START + timedelta(hours=1))
    ledger.post(order, LedgerReason.TOP_UP, 6, now=START + timedelta(hours=1))
    ledger.post(order, LedgerReason.TOP_UP, 50, now=START + DAY)
    assert lines(order) == [(50, 131), (-30, 81), (6, 111), (5, 105), (100, 100)]


def test_a_statement_includes_both_days_and_starts_from_the_earlier_balance(order: Order) -> None:
    for number in range(1, 4):
        ledger.post(order, LedgerReason.TOP_UP, number, now=START + number * DAY)
    second, third = (START + DAY).date(), (START + 2 * DAY).date()
    assert lines(order, second, third) == [(2, 103), (1, 101)]
    assert lines(order, None, second) == [(1, 101), (100, 100)]
    assert lines(order, third, None) == [(3, 106), (2, 103)]


def test_a_statement_uses_utc_days_regardless_of_the_callers_zone(order: Order) -> None:
    late = START.replace(hour=23)
    use(order, START, 30)
    ledger.post(order, LedgerReason.TOP_UP, 5, now=late)
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        assert lines(order) == [(-30, 75), (5, 105), (100, 100)]


def test_closings_cover_the_orders_current_period(order: Order, other: Order) -> None:
    ledger.post(order, LedgerReason.ADJUSTMENT, -40, now=START, closes_period=True)
    ledger.post(other, LedgerReason.ADJUSTMENT, -3, now=START, closes_period=True)
    assert ledger.closings([order]) == {order.pk: -40}
    order.period_number += 1
    assert ledger.closings([order, other]) == {order.pk: 0, other.pk: -3}


def test_an_entry_is_found_by_its_reference_within_its_order(order: Order, other: Order) -> None:
    entry = ledger.post(order, LedgerReason.TOP_UP, 5, now=START, reference="t1")
    ledger.post(order, LedgerReason.TOP_UP, 5, now=START, reference=None)
    assert ledger.earlier(order, "t1", LedgerReason.TOP_UP, 5) == entry
    assert ledger.earlier(order, "t1", LedgerReason.TOP_UP, None) == entry
    assert ledger.earlier(order, "t2", LedgerReason.TOP_UP, 5) is None
    assert ledger.earlier(order, None, LedgerReason.TOP_UP, 5) is None
    assert ledger.earlier(other, "t1", LedgerReason.TOP_UP, 5) is None


@pytest.mark.parametrize(
    ("reason", "amount"), [(LedgerReason.TOP_UP, 6), (LedgerReason.REFUND, 5), (LedgerReason.REFUND, 6)]
)
def test_a_reference_that_was_used_for_something_else_is_a_conflict(
    order: Order, reason: LedgerReason, amount: int
) -> None:
    ledger.post(order, LedgerReason.TOP_UP, 5, now=START, reference="t1")
    with pytest.raises(Conflict, match="'t1' was used before, for a top_up of 5 bytes"):
        ledger.earlier(order, "t1", reason, amount)


def test_a_posted_entry_has_the_values_it_was_posted_with(order: Order) -> None:
    late = datetime(2026, 3, 3, 1, tzinfo=ZoneInfo("Asia/Tokyo"))
    entry = ledger.post(
        order, LedgerReason.ADJUSTMENT, -40, now=late, author="shop", note="why", reference="a1", closes_period=True
    )
    entry.refresh_from_db()
    assert model_to_dict(entry) | {"created_at": entry.created_at, "updated_at": entry.updated_at} == {
        "id": entry.pk,
        "order": order.pk,
        "reason": "adjustment",
        "bytes": -40,
        "requests": 0,
        "period_date": date(2026, 3, 2),
        "reference": "a1",
        "author": "shop",
        "note": "why",
        "created_at": late,
        "updated_at": late,
    }
    assert (entry.usage_day, entry.period_number, entry.closes_period) == (None, 1, True)


def test_a_posted_entry_belongs_to_the_current_period_and_to_fonproxy_by_default(order: Order) -> None:
    entry = ledger.post(order, LedgerReason.TOP_UP, 5, now=START)
    assert (entry.author, entry.note, entry.reference) == ("fonproxy", "", None)
    assert (entry.period_number, entry.closes_period) == (1, False)
    assert ledger.post(order, LedgerReason.TOP_UP, 5, now=START, in_period=False).period_number is None


def test_entries_other_than_purchases_are_numbered_by_order(order: Order, other: Order) -> None:
    numbers = [
        ledger.post(each, reason, 5, now=START).adjustment_number
        for each, reason in (
            (order, LedgerReason.TOP_UP),
            (other, LedgerReason.TOP_UP),
            (order, LedgerReason.SERVICE_PURCHASE),
            (order, LedgerReason.ADJUSTMENT),
            (order, LedgerReason.REFUND),
        )
    ]
    assert numbers == [1, 1, None, 2, 3]
