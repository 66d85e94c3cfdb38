"""Usage lines, set to the totals of the traffic tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import ledger, services
from orders.models import CutOff, LedgerEntry, LedgerReason, Order
from tests.usage.helpers import carry, figures, import_history
from usage import metering, reconciliation

DAY = timedelta(days=1)
START = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - 10 * DAY
NOW = START + 9 * DAY


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, limit=100, started_at=START, expires_at=START + 30 * DAY, now=START)


def post(order: Order, at: datetime, now: datetime = NOW, *, is_history: bool = False) -> list[LedgerEntry]:
    """The usage line of that day, if it changed."""
    pair = (order.pk, at.date())
    return metering.post_days([pair], now, history={pair} if is_history else ())


def adjustments(order: Order) -> list[tuple[int, str, datetime, int | None, bool]]:
    found = LedgerEntry.objects.filter(order=order, reason=LedgerReason.ADJUSTMENT).order_by("pk")
    return [(each.bytes, each.note, each.created_at, each.period_number, each.closes_period) for each in found]


def test_a_usage_line_has_the_times_of_its_creation_and_last_change(order: Order) -> None:
    carry(order, START, 30, requests=2)
    post(order, START, NOW)
    carry(order, START, 5, requests=1)
    post(order, START, NOW + DAY)
    line = LedgerEntry.objects.get(order=order, reason=LedgerReason.USAGE)
    assert (line.bytes, line.requests) == (-35, 3)
    assert (line.period_date, line.usage_day) == (START.date(), START.date())
    assert (line.created_at, line.updated_at) == (NOW, NOW + DAY)


def test_an_unchanged_usage_line_is_not_rewritten(order: Order) -> None:
    carry(order, START, 30)
    assert [line.bytes for line in post(order, START)] == [-30]
    assert post(order, START, NOW + DAY) == []
    assert LedgerEntry.objects.get(order=order, reason=LedgerReason.USAGE).updated_at == NOW


def test_a_day_without_traffic_gets_no_line(order: Order) -> None:
    assert post(order, START) == []


def test_requests_without_bytes_get_a_line(order: Order) -> None:
    carry(order, START, 0, requests=1)
    assert [(line.bytes, line.requests) for line in post(order, START)] == [(0, 1)]


def test_batches_are_metered_once_and_exhausted_orders_are_published(order: Order) -> None:
    carry(order, START, 60)
    carry(order, START, 40)
    assert metering.post_usage(NOW) == 2
    assert metering.post_usage(NOW) == 0
    assert figures(order)["published"] == "exhausted"


def test_posting_reads_and_locks_only_the_orders_and_lines_that_it_may_change(order: Order) -> None:
    carry(order, START, 30)
    with CaptureQueriesContext(connection) as statements:
        post(order, START)
    reads = [each["sql"] for each in statements if each["sql"].startswith("SELECT")]
    assert len(reads) >= 2
    assert [
        read for read in reads if f'"id" IN ({order.pk})' not in read and f'"order_id" IN ({order.pk})' not in read
    ] == []
    [lines] = [read for read in reads if '"ledger_entries"."id"' in read]
    assert f"\"usage_day\" IN ('{START.date()}'" in lines  # PostgreSQL also receives the type


def test_a_long_run_stamps_each_change_when_it_is_made(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "PAIRS", 1)
    monkeypatch.setattr(reconciliation, "ORDERS", 1)
    for _ in range(2):
        carry(make_order(alice, limit=100, started_at=START, now=START), START, 100)
    began = monotonic()
    assert metering.post_usage(NOW) == 2
    first, second = CutOff.objects.order_by("number")
    assert NOW == first.changed_at < second.changed_at <= NOW + timedelta(seconds=monotonic() - began)
    Order.objects.update(added_bytes=1)
    one, other = reconciliation.reconcile(NOW)
    assert one.found_at < other.found_at


def test_an_interrupted_run_keeps_what_it_posted_and_the_next_one_posts_the_rest_once(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch of history for three orders, two days each; the process dies while it posts the second order."""
    monkeypatch.setattr(metering, "PAIRS", 1)
    orders = [make_order(alice, limit=100, started_at=START, now=START) for _ in range(3)]
    import_history([(order, START - days * DAY, 30) for order in orders for days in (1, 2)])
    post, posted = metering.post_days, []

    def dies_at_the_second(days: Any, *arguments: Any, **options: Any) -> Any:
        posted.append({order_id for order_id, _ in days})
        if len(posted) == 2:
            raise KeyboardInterrupt
        return post(days, *arguments, **options)

    monkeypatch.setattr(metering, "post_days", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        metering.post_usage(NOW)
    assert [len(adjustments(order)) for order in orders] == [1, 0, 0]
    assert metering.post_usage(NOW) == 1
    assert posted == [{orders[0].pk}, {orders[1].pk}, {orders[0].pk}, {orders[1].pk}, {orders[2].pk}]
    assert metering.post_usage(NOW) == 0
    for order in orders:
        order.refresh_from_db()
        assert [amount for amount, *_ in adjustments(order)] == [60]
        assert (ledger.balance(order), ledger.used([order])) == (100, {order.pk: 0})


def test_other_writers_get_their_turn_between_the_orders_of_a_batch(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "PAIRS", 1)
    import_history([(make_order(alice, limit=100, started_at=START, now=START), START, 30) for _ in range(3)])
    outside, turns = list(connection.savepoint_ids), []  # each transaction inside the test's own is a savepoint
    monkeypatch.setattr(metering, "let_others_write", lambda: turns.append(list(connection.savepoint_ids)))
    metering.post_usage(NOW)
    assert turns == [outside, outside]


def test_current_traffic_is_posted_before_and_between_the_orders_of_an_import(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "PAIRS", 1)
    monkeypatch.setattr(metering, "LOOK_SECONDS", 0)
    first, second, third = (make_order(alice, limit=100, started_at=START, now=START) for _ in range(3))
    import_history([(order, START - DAY, 30) for order in (first, second)])
    carry(third, START, 40)
    post, posted = metering.post_days, list[int]()

    def arrives_in_between(days: Any, *arguments: Any, **options: Any) -> Any:
        posted.extend(order_id for order_id, _ in days)
        lines = post(days, *arguments, **options)
        if posted == [third.pk, first.pk]:
            carry(third, START, 60)
        return lines

    monkeypatch.setattr(metering, "post_days", arrives_in_between)
    assert metering.post_usage(NOW) == 3
    assert posted == [third.pk, first.pk, third.pk, second.pk]
    assert [figures(order)["balance"] for order in (first, second, third)] == [100, 100, 0]
    assert figures(third)["published"] == "exhausted"


def test_a_run_ends_although_traffic_keeps_arriving(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    carry(order, START, 1)
    post = metering.post_days

    def arrives_meanwhile(*arguments: Any, **options: Any) -> Any:
        lines = post(*arguments, **options)
        carry(order, START, 1)
        return lines

    monkeypatch.setattr(metering, "post_days", arrives_meanwhile)
    assert [metering.post_usage(NOW) for _ in range(3)] == [1, 1, 1]
    assert figures(order)["balance"] == 97


def test_late_traffic_of_a_day_with_waiting_history_does_not_count_that_history(order: Order) -> None:
    before = START - 3 * DAY
    import_history([(order, before, 30)])
    carry(order, before, 5)
    carry(order, START, 7)
    assert metering.post_usage(NOW) == 3
    assert figures(order)["balance"] == 93
    assert figures(order)["carried"] == {before.date(): 35, START.date(): 7}


def test_imported_history_before_the_period_is_credited_back(order: Order) -> None:
    before = START - 3 * DAY
    carry(order, before, 30)
    post(order, before, is_history=True)
    carry(order, before, 5)
    post(order, before, NOW + DAY, is_history=True)
    assert adjustments(order) == [
        (30, "imported history", NOW, None, False),
        (5, "imported history", NOW + DAY, None, False),
    ]
    order.refresh_from_db()
    assert order.used_before_period == 35
    assert ledger.balance(order) == 100
    assert ledger.used([order]) == {order.pk: 0}


def test_late_traffic_before_the_period_is_not_credited_back(order: Order) -> None:
    carry(order, START - 3 * DAY, 30)
    post(order, START - 3 * DAY)
    assert adjustments(order) == []
    assert ledger.balance(order) == 70


def test_imported_history_of_the_first_day_of_the_period_counts_in_it(order: Order) -> None:
    carry(order, START, 30)
    post(order, START, is_history=True)
    assert adjustments(order) == []
    assert ledger.used([order]) == {order.pk: 30}


def test_imported_history_of_an_ended_period_leaves_its_balance_at_zero(order: Order) -> None:
    services.expire(order, START + 2 * DAY)
    carry(order, START + DAY, 30)
    post(order, START + DAY, is_history=True)
    assert adjustments(order)[1:] == [(30, "imported history", NOW, 1, True)]
    order.refresh_from_db()
    assert order.used_before_period == 0
    assert ledger.balance(order) == 0


def test_history_of_an_unmetered_order_posts_usage_alone(
    alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    order = make_order(alice, limit=None, started_at=START, now=START)
    before = START - 3 * DAY
    carry(order, before, 30)
    post(order, before, is_history=True)
    assert adjustments(order) == []
    order.refresh_from_db()
    assert order.used_before_period == 30
