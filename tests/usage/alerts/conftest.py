"""An order of ten gigabytes, and alerts on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders.models import Order
from tests.orders.helpers import empty_ledger
from usage.alerts import services
from usage.models import Alert

START = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - timedelta(days=10)
GB = 2**30


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client, settings: Any) -> Order:
    settings.DEFAULT_ALERTS = False
    return make_order(alice, limit=10 * GB, started_at=START, now=START, name="Residential 10 GB")


@pytest.fixture
def alert(order: Order) -> Alert:
    return services.create(order, 80, Alert.Method.EMAIL, now=START)


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """For tests whose threads read the database."""
    yield
    empty_ledger()
