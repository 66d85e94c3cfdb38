"""Any domain that ingest accepted can be queried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import User
from fonproxy.clickhouse.client import Client
from tests.analytics.helpers import documented_row, push

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "domain", ["x\0y", "İ" * 255, "EXAMPLE.com", "пример.рф", "💡.example", "[2001:0DB8::1]", "[::1]:443"]
)
def test_every_accepted_domain_can_be_queried(
    clean_engine: Client, client_for: Any, worker: User, alice: User, domain: str
) -> None:
    push(client_for(worker, "ingest"), [documented_row(user_id=alice.pk, domain=domain)])
    today = datetime.now(UTC).date()
    question = {"from": str(today - timedelta(days=2)), "to": str(today)}
    reader = client_for(alice)
    [listed] = reader.get("/analytics/domains", question).json()["data"]
    [found] = reader.get("/analytics/domains", question | {"domain": listed["domain"]}).json()["data"]
    assert found == listed
