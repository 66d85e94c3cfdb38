"""Waiting for a condition instead of for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Returns as soon as the condition is true; raises AssertionError after longer than a loaded machine needs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "The condition did not become true."
        time.sleep(0.02)
