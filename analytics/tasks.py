"""Scheduled tasks of the journal. Each may run at any time, any number of times, in any process."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from analytics.gateway import sessions
from analytics.ingest import journal
from analytics.ingest.flusher import flusher


@shared_task
def replay_journal() -> bool:
    """Inserts batches that wait in the journal; False without an engine."""
    flusher.replay()
    return not flusher.engine_is_unavailable


@shared_task
def forget_settled_batches() -> None:
    """Deletes idempotency keys after 24 hours."""
    journal.forget(timezone.now())


@shared_task
def forget_sessions() -> None:
    """Deletes sessions of proxy servers that were not reported for long."""
    sessions.forget(timezone.now())
