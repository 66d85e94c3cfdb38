"""Forms in which clients write the same query; each family takes them alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from tests.contract.present import NOW

PERIODS: Final = {
    "/analytics/requests": ("from", "to"),
    "/api/v1/usage/history": ("start_date", "end_date"),
    "/api/v1/usage/by-country": ("start_date", "end_date"),
    "/log/search": ("min_log_request_datetime", "max_log_request_datetime"),
    "/log_summary/search": ("min_log_summary_creation_datetime", "max_log_summary_period"),
    "/mobile_ledger/search": ("min_mobile_ledger_creation_datetime", "max_mobile_ledger_period_date"),
    "/analytics/graph": ("period_start", "period_end"),
}


@pytest.mark.parametrize("path", PERIODS)
@pytest.mark.parametrize("offset", ["+00:00", "+02:00", "+0530"])
def test_the_plus_of_an_offset_may_be_unescaped(
    path: str, offset: str, alice: User, client_for: Callable[..., APIClient], engine: Client
) -> None:
    reader = client_for(alice, "read")
    first, last = PERIODS[path]
    start = NOW - timedelta(days=1)
    unescaped = f"{first}={start:%Y-%m-%dT%H:%M:%S}{offset}&{last}={start + timedelta(hours=2):%Y-%m-%d %H:%M}{offset}"
    answer = reader.get(path, QUERY_STRING=unescaped)
    assert answer.status_code == 200, answer.content
    assert answer.json() == reader.get(path, QUERY_STRING=unescaped.replace("+", "%2B")).json()
