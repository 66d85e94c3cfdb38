"""The scheduler of the jobs in a one-process install."""

from __future__ import annotations

from datetime import timedelta
from time import sleep
from typing import Any

from fonproxy.celery import app
from fonproxy.embedded_celery import PreciseScheduler


def test_the_scheduler_sleeps_until_a_job_is_due() -> None:
    started: list[Any] = []
    scheduler: Any = PreciseScheduler(app, schedule={}, lazy=True)
    scheduler.apply_entry = lambda entry, producer: started.append(entry.name)
    scheduler.add(name="job", task="job", schedule=timedelta(minutes=1))
    job = scheduler.schedule["job"]
    job.last_run_at = job.default_now() - timedelta(minutes=1) + timedelta(milliseconds=9)
    ticks = 0
    while not started:
        ticks += 1
        delay = scheduler.tick()
        if delay > 0:
            sleep(delay)
    assert ticks <= 3
