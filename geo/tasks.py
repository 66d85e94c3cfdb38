"""Scheduled task of the counts. It may run at any time, any number of times, in any process."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from geo import refresh


@shared_task
def refresh_counts() -> None:
    """Runs every loader."""
    refresh.refresh(timezone.now())
