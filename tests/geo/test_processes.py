"""Counts and multipliers across processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.serving import Server, manage, serving

SAVE = """
from decimal import Decimal
from geo.models import Multiplier
from geo.services import save_multiplier
save_multiplier(Multiplier(proxy_type="residential-giga", country="US", factor=Decimal("0.5")))
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
    deadline = time.monotonic() + 10
    while us(server) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert us(server) == 1_200_000
    saved = manage(server.data_dir, "shell", "-c", SAVE)
    assert saved.returncode == 0, saved.stderr
    assert us(server) == 600_000
