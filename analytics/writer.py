"""Sends the journal's groups to the engine.

There is no writer thread: of those that wait for their rows to become readable, one takes everything queued and sends
it as one group, while the next ones queue up behind it. Groups so form without anyone waiting for company.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from threading import Condition
from time import monotonic, sleep
from typing import Final

import pyarrow as pa
from django.conf import settings
from django.db import Error
from django.utils import timezone

from analytics import journal
from analytics.hold import Held, is_held
from analytics.models import Batch, Group
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import EngineError, EngineUnavailable

PROBE_SECONDS: Final = 5.0
# A group takes a second or two. What takes longer waits for an engine that stands still, and others need not.
STUCK_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.02

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Queued:
    batch: Batch
    table: pa.Table
    is_finished: bool = False


class Writer:
    """One per process."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._queue: deque[_Queued] = deque()
        self._is_sending = False
        self._stuck_from = inf
        self._away_until = 0.0

    @property
    def engine_is_away(self) -> bool:
        """Whether an attempt failed moments ago, or hangs: then rows are left in the journal without another one."""
        return monotonic() < self._away_until or monotonic() > self._stuck_from

    def write(self, batch: Batch, table: pa.Table) -> None:
        """Returns when the batch's rows are readable, or are left to replay; never raises, since they are durable."""
        mine = _Queued(batch, table)
        with self._condition:
            self._queue.append(mine)
        while True:
            with self._condition:
                while self._is_sending and not mine.is_finished and monotonic() <= self._stuck_from:
                    self._condition.wait(self._stuck_from - monotonic())
                if mine.is_finished:
                    return
                if self._is_sending:
                    break
                self._is_sending = True
                self._stuck_from = monotonic() + STUCK_SECONDS
                taken = self._take()
            try:
                self._send_together(taken)
            except Exception:
                log.exception("a group could not be sent; replay will send it")
            finally:
                with self._condition:
                    for queued in taken:
                        queued.is_finished = True
                    self._is_sending = False
                    self._stuck_from = inf
                    self._condition.notify_all()
        self._leave(mine)

    def _leave(self, mine: _Queued) -> None:
        """Waits no longer: replay sends the batch, unless it is in the group that hangs."""
        with self._condition:
            if mine not in self._queue:
                return
            self._queue.remove(mine)
        try:
            journal.give_back([mine.batch.pk], timezone.now())
        except Error as error:
            log.warning("a batch is left to replay when its claim has run out: %s", error)

    def _take(self) -> list[_Queued]:
        """The next group's worth of the queue, all of the first one's route; at least one batch, whatever its size."""
        route = self._queue[0].batch.route
        taken: list[_Queued] = []
        rows = size = 0
        for queued in [queued for queued in self._queue if queued.batch.route == route]:
            rows, size = rows + queued.batch.rows, size + queued.batch.size
            if taken and (rows > journal.GROUP_ROWS or size > journal.GROUP_BYTES):
                break
            taken.append(queued)
            self._queue.remove(queued)
        return taken

    def _send_together(self, taken: list[_Queued]) -> None:
        ids = sorted(queued.batch.pk for queued in taken)
        try:
            group, joined = journal.group(ids, timezone.now())
        except Held:
            journal.give_back(ids, timezone.now())
            return
        taken.sort(key=lambda queued: queued.batch.pk)
        tables = [queued.table for queued in taken if queued.batch.pk in joined]
        self._send(group, journal.Rows(taken[0].batch.inbox, pa.concat_tables(tables)) if tables else None)

    def _send(self, group: Group, rows: journal.Rows | None) -> bool:
        try:
            if rows is not None:
                get_client().insert(rows.inbox, rows.table, token=str(group.id))
        except EngineError as error:
            self._away_until = monotonic() + PROBE_SECONDS if isinstance(error, EngineUnavailable) else 0.0
            log.warning("the engine did not take group %s: %s", group.id, error)
            journal.put_back(group, str(error), timezone.now())
            return False
        self._away_until = 0.0
        journal.settle(group, timezone.now())
        return True

    def replay(self) -> int:
        """Sends what was left behind, oldest first, until nothing is left or the engine is away.

        Returns the number of groups sent. A group that the engine will not take is passed over for a while. During a
        backup, only what was grouped before is sent.
        """
        sent = 0
        with suppress(Held):
            while group := journal.claim_next(timezone.now()):
                if self._send(group, journal.load(group)):
                    sent += 1
                elif self.engine_is_away:
                    break
        return sent

    def wait_until_settled(self, batch: Batch, seconds: float) -> bool:
        """Waits for another's batch to become readable; True at once when that is up to replay."""
        deadline = monotonic() + seconds
        while batch.settled_at is None and not self._is_up_to_replay(batch):
            if monotonic() >= deadline:
                return False
            sleep(POLL_SECONDS)
            batch.refresh_from_db(fields=["settled_at", "group"])
        return True

    def _is_up_to_replay(self, batch: Batch) -> bool:
        return self.engine_is_away or journal.was_refused(batch) or is_held()


writer: Final = Writer()


def recover() -> None:
    """What a starting process does before it serves: it settles all that an earlier one left behind.

    With the embedded engine no other process can be alive, so no claim holds; otherwise each holds until it runs out.
    """
    if settings.CLICKHOUSE_URL is None:
        journal.release_claims(timezone.now())
    if sent := writer.replay():
        log.info("settled what an earlier process had left in the journal", extra={"groups": sent})
