"""The Celery application: an in-process broker by default, Redis when ``REDIS_URL`` is set."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fonproxy.settings")

app = Celery("fonproxy")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
