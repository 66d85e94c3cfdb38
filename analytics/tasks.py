"""Scheduled tasks of the journal. Each may run at any time, any number of times, in any process."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from analytics.gateway import sessions
from analytics.ingest import journal
from analytics.ingest.flusher import flusher


@shared_task
def replay_journal() -> bool:
    """Inserts waiting batches from the journal; False without ClickHouse."""
    flusher.replay()
    return not flusher.engine_is_unavailable


@shared_task
def forget_settled_batches() -> None:
    """Deletes idempotency keys after 24 hours."""
    journal.forget(timezone.now())


@shared_task
def forget_sessions() -> None:
    """Deletes sessions without a report for a long time."""
    sessions.forget(timezone.now())
