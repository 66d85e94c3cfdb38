"""The present of the contract tests: the clock stands at it when a test begins, and goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_now = datetime.now(UTC).replace(microsecond=0)
# No hour, day or month begins while a test runs, whenever that is.
NOW: Final = min(_now, _now.replace(minute=50, second=0))
