"""The database protects the ledger from every writer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders.models import LedgerEntry, LedgerReason, Order
from tests.usage.helpers import carry_and_post

NOW = datetime.now(UTC).replace(hour=1)
COPY = (
    "INSERT INTO ledger_entries"
    " (order_id, reason, bytes, requests, period_date, usage_day, closes_period, author, note, created_at, updated_at)"
    " SELECT order_id, {reason}, {bytes}, 0, period_date, {usage_day}, closes_period, author, note, created_at,"
    " updated_at FROM ledger_entries WHERE reason = 'usage'"
)
TAMPERING = {
    "changing a credit": "UPDATE ledger_entries SET bytes = bytes + 1 WHERE reason = 'service_purchase'",
    "rewriting who posted it": "UPDATE ledger_entries SET author = 'me' WHERE reason = 'service_purchase'",
    "deleting a credit": "DELETE FROM ledger_entries WHERE reason = 'service_purchase'",
    "deleting usage": "DELETE FROM ledger_entries WHERE reason = 'usage'",
    "making a credit of usage": "UPDATE ledger_entries SET reason = 'refund', usage_day = NULL WHERE reason = 'usage'",
    "moving usage to another day": (
        "UPDATE ledger_entries SET period_date = '2020-01-01', usage_day = '2020-01-01' WHERE reason = 'usage'"
    ),
    "usage that gives": "UPDATE ledger_entries SET bytes = 5 WHERE reason = 'usage'",
    "a second usage line of a day": COPY.format(reason="reason", bytes="bytes", usage_day="usage_day"),
    "a top-up that takes": COPY.format(reason="'top_up'", bytes="-1", usage_day="NULL"),
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_refused(
    alice: User, make_order: Callable[..., Order], clean_engine: Client, statement: str
) -> None:
    order = make_order(alice, limit=100, started_at=NOW, now=NOW)
    carry_and_post(order, NOW, 30)
    before = list(LedgerEntry.objects.order_by("pk").values())
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(LedgerEntry.objects.order_by("pk").values()) == before


def test_the_usage_line_of_a_day_can_be_updated(
    alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    order = make_order(alice, limit=100, started_at=NOW, now=NOW)
    carry_and_post(order, NOW, 30)
    carry_and_post(order, NOW, 12)
    [line] = LedgerEntry.objects.filter(reason=LedgerReason.USAGE)
    assert (line.bytes, line.requests) == (-42, 2)
