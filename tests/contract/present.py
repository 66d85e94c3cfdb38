"""The present of the contract tests: the clock is set to it when a test begins, and runs from there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_now = datetime.now(UTC).replace(microsecond=0)
# No hour, day or month begins during a test, whenever it runs.
NOW: Final = min(_now, _now.replace(minute=50, second=0))
