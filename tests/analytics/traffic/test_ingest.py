"""``POST /analytics/ingest`` as a gateway uses it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.analytics.helpers import counted, documented_row, push

pytestmark = pytest.mark.django_db


def test_the_documented_body_is_accepted(clean_engine: Any, client_for: Any, worker: Any) -> None:
    response = push(client_for(worker, "ingest"), [documented_row()])
    assert (response.status_code, response.content) == (204, b"")
    assert counted(clean_engine, "traffic") == (1, 12)
