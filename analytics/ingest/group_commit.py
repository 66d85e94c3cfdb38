"""Records the batches of requests that arrive at the same time in one transaction.

The first request records all batches that have arrived by then, while further ones gather. A request waits at most for
the running transaction and the next, and within this process only one thread at a time requests SQLite's write lock.

If the process dies before the transaction commits, none of its batches was accepted and none of its callers has a
response; afterwards all of them are durable (``analytics.ingest.journal``).
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

from analytics.ingest import journal
from fonproxy.api.errors import ApiProblem


class _WaitingArrival:
    """The arrival of a request whose thread waits for the outcome."""

    __slots__ = ("arrival", "outcome")

    def __init__(self, arrival: journal.Arrival) -> None:
        self.arrival = arrival
        self.outcome: journal.Recorded | Exception | None = None


class GroupCommit:
    """One per process."""

    def __init__(self) -> None:
        self._recording = Lock()
        self._queue = Lock()
        self._waiting: list[_WaitingArrival] = []

    def record(self, arrival: journal.Arrival) -> journal.Recorded:
        """Returns when the batch is durable. Raises what ``journal.record`` raises, and errors of the database."""
        mine = _WaitingArrival(arrival)
        with self._queue:
            self._waiting.append(mine)
        with self._recording:
            if mine.outcome is None:
                self._record_all()
        assert mine.outcome is not None
        if isinstance(mine.outcome, Exception):
            raise mine.outcome
        return mine.outcome

    def record_all(self, arrivals: Sequence[journal.Arrival]) -> list[journal.Recorded | ApiProblem]:
        """Records arrivals that already form a group; returns what ``journal.record_all`` returns."""
        with self._recording:
            return journal.record_all(arrivals)

    def _record_all(self) -> None:
        """Records everything that has arrived; a database error becomes the outcome of all."""
        with self._queue:
            group, self._waiting = self._waiting, []
        outcomes: list[journal.Recorded | ApiProblem] | Exception
        try:
            outcomes = journal.record_all([waiting.arrival for waiting in group])
        except Exception as error:
            outcomes = error
        for number, waiting in enumerate(group):
            waiting.outcome = outcomes if isinstance(outcomes, Exception) else outcomes[number]


committer: Final = GroupCommit()
