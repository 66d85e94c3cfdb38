"""What Celery beat asks of the journal. Each may run any number of times, anywhere."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from analytics import journal
from analytics.writer import writer


@shared_task
def replay_journal() -> None:
    """Sends what is left in the journal once its engine is back or its sender is gone."""
    writer.replay()


@shared_task
def forget_settled_batches() -> None:
    """Lets go of idempotency keys after their 24 hours."""
    journal.forget(timezone.now())
