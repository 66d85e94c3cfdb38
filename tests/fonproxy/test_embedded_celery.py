"""The jobs in a one-process install."""

from __future__ import annotations

from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.db import connection
from django.utils.module_loading import import_string

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


@pytest.mark.django_db(transaction=True)
def test_jobs_keep_their_connection_to_sqlite_and_open_a_new_one_to_postgresql() -> None:
    worker = import_string("celery.fixups.django.DjangoWorkerFixup")(app)
    connection.ensure_connection()
    before = connection.connection
    worker.close_database()  # called before and after each job
    assert (connection.connection is before) == (connection.vendor == "sqlite")
