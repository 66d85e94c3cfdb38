"""What Celery beat asks of the counts. May run any number of times, anywhere."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from geo import refresh


@shared_task
def refresh_counts() -> None:
    """Asks every loader for its counts."""
    refresh.refresh(timezone.now())
