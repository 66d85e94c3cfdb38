"""Whether the journal has room for more batches.

The backlog is counted in the relational store, which takes longer the larger it is. So a count is reused for twenty
times as long as it took, plus the batches that this process has accepted since. Until the next count a process may miss
batches accepted by others. No batch is refused without a new count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Final, NamedTuple

from django.conf import settings
from django.db import connection

from analytics.models import IngestBatch

# Events of applications may use only a share of the journal, so that they cannot block gateways.
EVENTS_SHARE: Final = 0.25
USES: Final = 20
_COUNT: Final = (
    f"SELECT route, sum(rows), sum(size) FROM {IngestBatch._meta.db_table} WHERE settled_at IS NULL GROUP BY route"
)


class Need(NamedTuple):
    """The room that a batch needs in the journal."""

    route: str
    rows: int
    size: int


@dataclass(slots=True)
class _QueuedLoad:
    """Waiting rows and bytes, by route."""

    rows: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    used_until: float = 0.0

    def take(self, need: Need) -> bool:
        """Adds the batch if there is room."""
        is_event = need.route == IngestBatch.Route.EVENTS
        rows, size = (parts.get(need.route, 0) if is_event else sum(parts.values()) for parts in (self.rows, self.size))
        share = EVENTS_SHARE if is_event else 1.0
        if (
            rows + need.rows > settings.JOURNAL_MAX_ROWS * share
            or size + need.size > settings.JOURNAL_MAX_BYTES * share
        ):
            return False
        self.rows[need.route] = self.rows.get(need.route, 0) + need.rows
        self.size[need.route] = self.size.get(need.route, 0) + need.size
        return True


_lock: Final = Lock()
_last = _QueuedLoad()


def those_that_fit(needs: Sequence[tuple[str, int, int]]) -> list[bool]:
    """For each batch, whether the journal has room for it after the accepted ones before it."""
    global _last
    with _lock:
        if monotonic() < _last.used_until:
            fits = [_last.take(Need(*need)) for need in needs]
            if all(fits):
                return fits
        _last = _counted()
        return [_last.take(Need(*need)) for need in needs]


def _counted() -> _QueuedLoad:
    started = monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT)
        found = cursor.fetchall()
    now = monotonic()
    return _QueuedLoad(
        {route: int(rows) for route, rows, _ in found},
        {route: int(size) for route, _, size in found},
        now + (now - started) * USES,
    )
