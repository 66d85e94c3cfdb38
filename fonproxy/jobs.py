"""A Celery worker and beat as threads of the server process, for installs of one process.

The broker lives in memory, so what is queued when the process ends is lost: every job finds its work in the database.
"""

from __future__ import annotations

import threading
from typing import Any

from celery import beat
from celery.beat import Scheduler
from celery.worker import WorkController

from fonproxy.celery import app, enqueue_first_tasks


class EmbeddedJobs:
    """Started once; ``stop`` returns when the running job has ended."""

    def __init__(self) -> None:
        self._worker: Any = WorkController(
            app=app, pool_cls="solo", without_gossip=True, without_mingle=True, without_heartbeat=True
        )
        self._beat: Any = beat.Service(app, max_interval=1, scheduler_cls=Scheduler)
        self._threads = [
            threading.Thread(target=self._worker.start, name="celery-worker", daemon=True),
            threading.Thread(target=self._beat.start, name="celery-beat", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        enqueue_first_tasks()  # the signal comes from the worker's command only

    def stop(self) -> None:
        self._beat.stop(wait=False)
        self._worker.stop()
        for thread in self._threads:
            thread.join(timeout=10)
