"""A Celery worker and beat as threads of the server process, for one-process installs.

The broker is in memory, so queued jobs are lost when the process ends; every job finds its work in the database.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from celery import beat
from celery.beat import Scheduler
from celery.worker import WorkController

from fonproxy.celery import app, enqueue_first_tasks

THREADS: Final = 4
STOP_SECONDS: Final = 8.0


class PreciseScheduler(Scheduler):
    """Sleeps until a job is due. Celery's own wakes 10 ms early and then computes in a loop until it is."""

    def adjust(self, n: Any, drift: float = 0.0) -> float:
        return super().adjust(n, drift)


class EmbeddedJobs:
    """Started once, stopped once."""

    def __init__(self) -> None:
        # Several threads, so that a hanging provider or mail server does not delay cut-offs.
        self._worker: Any = WorkController(
            app=app,
            pool_cls="threads",
            concurrency=THREADS,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        self._beat: Any = beat.Service(app, max_interval=1, scheduler_cls=PreciseScheduler)
        self._threads = [
            threading.Thread(target=self._worker.start, name="celery-worker", daemon=True),
            threading.Thread(target=self._beat.start, name="celery-beat", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        enqueue_first_tasks()  # only the worker's command sends this signal

    def stop(self) -> bool:
        """Stops accepting jobs and waits for running ones; returns whether all have finished."""
        self._beat.stop(wait=False)
        # It waits for jobs without a limit; the caller does not wait for this thread.
        stopping = threading.Thread(target=self._worker.stop, name="celery-stop", daemon=True)
        stopping.start()
        stopping.join(STOP_SECONDS)
        return not stopping.is_alive()
