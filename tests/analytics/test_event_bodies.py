"""The cost of a refused body of events."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import pytest

from accounts.models import Application
from analytics.apinalytics.ingest_columns import to_columns
from fonproxy.api.errors import TooLarge

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENT = b'{"timestamp":1795600000,"method":"","url":"","response_us":0,"status_code":1}'


@pytest.mark.parametrize("part", [b"0", b"{}", EVENT], ids=["numbers", "empty objects", "events"])
def test_a_body_of_far_too_many_values_is_refused_before_it_takes_memory(part: bytes) -> None:
    body = b"[" + b",".join([part] * (2**23 // (len(part) + 1))) + b"]"
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="At most 10,000 events"):
            to_columns(body, Application(pk=1, user_id=1), NOW)
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()
