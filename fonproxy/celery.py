"""The Celery application: an in-process broker by default, Redis when ``REDIS_URL`` is set."""

from __future__ import annotations

import os
from typing import Any, Final

from celery import Celery
from celery.signals import worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fonproxy.settings")

app = Celery("fonproxy")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Also at start, so that a new install shows its counts at once.
AT_START: Final = "geo.tasks.refresh_counts"


@worker_ready.connect
def enqueue_first_tasks(**_: Any) -> None:
    """Called by every starting worker; only one of them does the work."""
    app.send_task(AT_START)
