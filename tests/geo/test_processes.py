"""Counts and multipliers across processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving import Server, manage, serving
from tests.waiting import wait_for

pytestmark = pytest.mark.processes

SAVE = """
from decimal import Decimal
from geo.models import Multiplier
from geo.multiplier_changes import save
from django.utils import timezone
save(Multiplier(proxy_type="residential-giga", country="US", factor=Decimal("0.5")), None, timezone.now())
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def us(server: Server) -> int | None:
    counts = server.call("GET", "/geo/counts").json["counts"]
    found: int | None = counts.get("residential-giga", {}).get("default", {}).get("provider-api", {}).get("US")
    return found


def test_counts_are_there_at_the_start_and_a_multiplier_saved_elsewhere_is_in_the_next_answer(server: Server) -> None:
    wait_for(lambda: us(server) == 1_200_000)
    saved = manage(server.data_dir, "shell", "-c", SAVE)
    assert saved.returncode == 0, saved.stderr
    assert us(server) == 600_000
