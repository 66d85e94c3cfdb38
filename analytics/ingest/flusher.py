"""Sends insert blocks of the journal to ClickHouse.

While a server runs, a thread sends: everything queued is one block, and the next pushes queue up meanwhile. An insert
costs about the same for ten rows as for a thousand, so a block waits a moment for pushes that are being read or that
callers send who have just had a response, and longer if no caller waits for its rows. Without that thread, as in
commands, one of the waiting callers sends.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from threading import Condition, Event, Thread
from time import monotonic, sleep
from typing import Final

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from analytics.ingest import journal, lists
from analytics.ingest.pause import Paused, is_paused
from analytics.models import IngestBatch, InsertBlock
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import EngineError, EngineUnavailable

PROBE_SECONDS: Final = 5.0
# An insert takes a second or two. After this time ClickHouse counts as hanging, and other requests stop waiting for it.
STUCK_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.02
# About the cost of an insert. For this time a block waits for pushes that are being read. And since gateways that have
# their responses push again, it waits for as many pushes as had callers waiting when the last block ended, for the same
# time after that end: those that came later would need another insert.
GATHER_SECONDS: Final = 0.05
# With more rows queued, which cost more than the insert itself, no block waits for more.
MANY_ROWS: Final = 5_000
# Pushes with ``respond-async`` must still be readable within two seconds.
LATER_SECONDS: Final = 0.25
STOP_SECONDS: Final = 5.0
# When rows are overdue by this time, every push waits even with ``respond-async``: threads that keep pushing leave the
# sending thread too little of the interpreter, and all rows become readable late.
OVERDUE_SECONDS: Final = 0.75
# With more blocks queued, every push waits even with ``respond-async``, so that the queue in memory stays small.
QUEUED_BLOCKS: Final = 2

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class QueuedBatch:
    batch: IngestBatch
    rows: lists.Rows
    waits: bool = True
    finished: Event = field(default_factory=Event)


class Flusher:
    """One per process."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._queue: deque[QueuedBatch] = deque()
        self._queued_rows = 0
        self._due_at = inf
        self._reading = 0
        self._returning = 0
        self._returning_until = 0.0
        self._is_sending = False
        self._stuck_from = inf
        self._unavailable_until = 0.0
        self._thread: Thread | None = None
        self._is_stopping = False

    @property
    def is_running(self) -> bool:
        """Whether the sending thread is running, as it is in a server."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def engine_is_unavailable(self) -> bool:
        """Whether the last attempt just failed or hangs; batches then stay in the journal without a new attempt."""
        return monotonic() < self._unavailable_until or monotonic() > self._stuck_from

    def leave_to_others(self) -> None:
        """From now on rows stay in the journal, for the process that can insert."""
        self._unavailable_until = inf

    def start(self) -> None:
        """Starts the sending thread, for a process that serves."""
        self._is_stopping = False
        self._thread = Thread(target=self._run, name="ingest-flusher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sends what is queued and ends the thread. If that takes too long, the rest is left to replay."""
        if self._thread is None:
            return
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
        self._thread.join(STOP_SECONDS)
        self._thread = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A context during which a push is read: a block waits briefly for it."""
        with self._condition:
            self._reading += 1
        try:
            yield
        finally:
            with self._condition:
                self._reading -= 1
                if not self._reading:
                    self._condition.notify_all()

    def write(self, batch: IngestBatch, rows: lists.Rows, *, waits: bool = True) -> None:
        """Returns when the rows are readable or left to replay. Never raises: the rows are durable already.

        Without ``waits``, and if a thread keeps up, it returns at once; the rows are readable soon.
        """
        mine = self.queue(batch, rows, waits=waits)
        if mine is not None:
            self.wait_for(mine)

    def queue(self, batch: IngestBatch, rows: lists.Rows, *, waits: bool) -> QueuedBatch | None:
        """Queues the rows and returns at once. Pass a returned batch to ``wait_for`` before answering the push.

        Without ``waits``, and if a thread keeps up, it returns None: there is nothing to wait for.
        """
        waits = waits or self._thread is None or self._is_behind()
        mine = QueuedBatch(batch, rows, waits)
        self._enqueue(mine, monotonic() + (0 if waits else LATER_SECONDS))
        return mine if waits else None

    def wait_for(self, mine: QueuedBatch) -> None:
        """Returns when the rows are readable or left to replay."""
        thread = self._thread  # None once it is stopped
        if thread is None:
            self._send_until_finished(mine)
            return
        while not mine.finished.wait(min(STUCK_SECONDS, max(0.0, self._stuck_from - monotonic()))):
            if monotonic() > self._stuck_from or not thread.is_alive():
                self._leave(mine)
                return

    def _is_behind(self) -> bool:
        """Whether too much is queued, or some of it has been due for too long."""
        too_many = self._queued_rows > QUEUED_BLOCKS * journal.BLOCK_ROWS
        return too_many or monotonic() > self._due_at + OVERDUE_SECONDS

    def _enqueue(self, queued: QueuedBatch, due_at: float) -> None:
        queued.batch.columns = None  # they are in the journal, and the rows are kept with the batch
        with self._condition:
            had_returned = self._have_returned()
            self._queue.append(queued)
            self._queued_rows += queued.batch.rows
            if due_at < self._due_at or had_returned != self._have_returned():
                self._due_at = min(due_at, self._due_at)
                self._condition.notify_all()

    def _run(self) -> None:
        """Sends blocks until it is stopped and the queue is empty."""
        try:
            while taken := self._next():
                close_old_connections()
                self._send_and_finish(taken)
        finally:
            connection.close()

    def _next(self) -> list[QueuedBatch]:
        """Waits until a block is due and takes it; returns none at the end."""
        with self._condition:
            while self._queue or not self._is_stopping:
                if not self._queue:  # the due batches may have been taken
                    self._due_at = inf
                delay = 0.0 if self._is_stopping else self._due_at - monotonic()
                if delay > 0:
                    self._condition.wait(None if delay == inf else delay)
                else:
                    self._condition.wait_for(self._have_returned, self._returning_until - monotonic())
                    self._condition.wait_for(lambda: not self._reading or self._is_stopping, GATHER_SECONDS)
                    if self._queue:
                        return self._take()
            return []

    def _have_returned(self) -> bool:
        """Whether a block needs to wait no longer for the gateways that just had their responses."""
        return len(self._queue) >= self._returning or self._queued_rows > MANY_ROWS or self._is_stopping

    def _send_until_finished(self, mine: QueuedBatch) -> None:
        """One of the waiting callers sends for all."""
        while True:
            with self._condition:
                while self._is_sending and not mine.finished.is_set() and monotonic() <= self._stuck_from:
                    self._condition.wait(self._stuck_from - monotonic())
                if mine.finished.is_set():
                    return
                if self._is_sending:
                    break
                taken = self._take()
            self._send_and_finish(taken)
        self._leave(mine)

    def _send_and_finish(self, taken: list[QueuedBatch]) -> None:
        try:
            self._send_together(taken)
        except Exception:
            log.exception("insert block not sent; replay will retry")
        finally:
            with self._condition:
                self._is_sending = False
                self._stuck_from = inf
                self._returning = sum(queued.waits for queued in (*taken, *self._queue))
                self._returning_until = monotonic() + GATHER_SECONDS
                self._condition.notify_all()
            for queued in taken:
                queued.finished.set()

    def _leave(self, mine: QueuedBatch) -> None:
        """Stops waiting for the batch: replay sends it, unless it is in the hanging block."""
        with self._condition:
            if mine not in self._queue:
                return
            self._queue.remove(mine)
            self._queued_rows -= mine.batch.rows
        try:
            journal.release_batches([mine.batch.pk], timezone.now())
        except Error as error:
            log.warning("claim of a batch not released, replay waits until it expires: %s", error)

    def _take(self) -> list[QueuedBatch]:
        """Starts a block: batches of the first one's route, removed from the queue; at least one, of any size."""
        self._is_sending = True
        self._stuck_from = monotonic() + STUCK_SECONDS
        route = self._queue[0].batch.route
        taken: list[QueuedBatch] = []
        rows = size = 0
        for queued in [queued for queued in self._queue if queued.batch.route == route]:
            rows, size = rows + queued.batch.rows, size + queued.batch.size
            if taken and (rows > journal.BLOCK_ROWS or size > journal.BLOCK_BYTES):
                break
            taken.append(queued)
        chosen = set(taken)
        self._queue = deque(queued for queued in self._queue if queued not in chosen)
        self._queued_rows -= sum(queued.batch.rows for queued in taken)
        self._due_at = monotonic() if self._queue else inf
        return taken

    def _send_together(self, taken: list[QueuedBatch]) -> None:
        ids = sorted(queued.batch.pk for queued in taken)
        try:
            block, joined = journal.form_block(ids, timezone.now())
        except Paused:
            journal.release_batches(ids, timezone.now())
            return
        taken.sort(key=lambda queued: queued.batch.pk)
        parts = [queued.rows for queued in taken if queued.batch.pk in joined]
        self._send(block, journal.Rows(taken[0].batch.inbox, lists.concat(parts)) if parts else None)

    def _send(self, block: InsertBlock, rows: journal.Rows | None) -> bool:
        try:
            if rows is not None:
                get_client().insert(rows.inbox, rows.table, token=str(block.id))
        except EngineError as error:
            self._unavailable_until = monotonic() + PROBE_SECONDS if isinstance(error, EngineUnavailable) else 0.0
            log.warning("insert block %s failed: %s", block.id, error)
            journal.record_failure(block, str(error), timezone.now())
            return False
        self._unavailable_until = 0.0
        journal.settle(block, timezone.now())
        return True

    def replay(self) -> int:
        """Sends waiting batches, oldest first, until none is left or the engine is unavailable.

        Returns the number of blocks sent. A refused block is skipped until its delay is over. During a backup only
        existing blocks are sent.
        """
        sent = 0
        with suppress(Paused):
            while block := journal.claim_next(timezone.now()):
                if self._send(block, journal.load(block)):
                    sent += 1
                elif self.engine_is_unavailable:
                    break
        return sent

    def wait_until_settled(self, batch: IngestBatch, seconds: float) -> bool:
        """Waits until another request's batch is settled; returns True at once if it is left to replay."""
        deadline = monotonic() + seconds
        while batch.settled_at is None and not self._is_up_to_replay(batch):
            if monotonic() >= deadline:
                return False
            sleep(POLL_SECONDS)
            batch.refresh_from_db(fields=["settled_at", "block"])
        return True

    def _is_up_to_replay(self, batch: IngestBatch) -> bool:
        return self.engine_is_unavailable or journal.was_refused(batch) or is_paused()


flusher: Final = Flusher()


def recover() -> None:
    """Settles what an earlier process left in the journal, before this process serves.

    With the embedded engine no other process can be running, so all claims are released; otherwise each lasts until it
    expires.
    """
    if settings.CLICKHOUSE_URL is None:
        journal.release_claims(timezone.now())
    if sent := flusher.replay():
        log.info("settled batches of an earlier process", extra={"blocks": sent})
