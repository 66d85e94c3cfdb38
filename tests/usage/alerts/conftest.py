"""An order of ten gigabytes, and alerts on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Order, User
from fonproxy.clickhouse.client import Client
from tests.serving import free_port
from tests.usage.alerts.receiver import Mailbox, Receiver, smtp, web
from usage.alerts import services
from usage.models import Alert, Erasure, LedgerEntry

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
    """For tests whose threads look at the database; the ledger lets itself be emptied only for erasure."""
    yield
    Erasure.objects.bulk_create(Erasure(order=order) for order in Order.objects.all())
    LedgerEntry.objects.all().delete()


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    with web() as running:
        yield running


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    with smtp(settings.EMAIL_PORT) as running:
        yield running
