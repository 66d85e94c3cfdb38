"""SQLite has one writer: a run over many orders lets others write between its transactions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import renewals, services
from orders.models import Order
from orders.periods import Every, RecurringPeriod
from usage import limits

START = datetime(2026, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RUNS: dict[str, tuple[Any, str, Callable[[datetime], Any]]] = {
    "renewals": (renewals, "CHUNK", renewals.renew_due),
    "closing expired orders": (services, "CLOSED_IN_A_ROW", services.close_expired),
    "checking limits": (limits, "CHUNK", limits.check_due),
}


@pytest.mark.parametrize(("module", "size", "run"), RUNS.values(), ids=RUNS)
def test_other_writers_get_their_turn_outside_of_transactions(
    module: Any,
    size: str,
    run: Callable[[datetime], Any],
    alice: User,
    make_order: Callable[..., Order],
    clean_engine: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    month = RecurringPeriod(Every.MONTH, START.date())
    for _ in range(3):
        make_order(alice, limit=100, started_at=START, now=START, period=month, day_limit_bytes=10)
        make_order(alice, limit=100, started_at=START, now=START, expires_at=START + DAY)
    monkeypatch.setattr(module, size, 1)
    outside, turns = list(connection.savepoint_ids), []  # each transaction inside the test's own is a savepoint
    monkeypatch.setattr(module, "let_others_write", lambda: turns.append(list(connection.savepoint_ids)))
    run(START + 40 * DAY)
    assert turns == [outside] * 3
