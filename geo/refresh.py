"""Loads raw counts into the relational store, for all processes; a failure keeps the last good counts.

The process that claims a snapshot loads it. Claims expire, so a process that dies delays others only briefly.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from geo import revisions
from geo.loaders import loaders
from geo.loaders.base import Loader, LoaderFailed
from geo.models import CountSnapshot, Revision

CLAIM: Final = timedelta(seconds=60)
# Processes that start together, or right after a refresh, do not load again.
RECENT: Final = timedelta(minutes=1)

log = logging.getLogger(__name__)


def refresh(now: datetime, *, even_recent: bool = False) -> None:
    """Runs every loader. Never raises a loader's error, so one failure does not affect the others."""
    known = loaders()
    _forget_unconfigured(set(known))
    for proxy_type, loader in known.items():
        CountSnapshot.objects.get_or_create(proxy_type=proxy_type, defaults={"claimed_until": now})
        free = CountSnapshot.objects.filter(proxy_type=proxy_type, claimed_until__lte=now)
        if not even_recent:
            free = free.exclude(loaded_at__gt=now - RECENT)
        if free.update(claimed_until=now + CLAIM):
            _load(proxy_type, loader, now)


def _load(proxy_type: str, loader: Loader, now: datetime) -> None:
    snapshot = CountSnapshot.objects.filter(proxy_type=proxy_type)
    try:
        counts = loader.load()
    except LoaderFailed as failure:
        log.warning("loading counts of %s failed, keeping the last ones: %s", proxy_type, failure)
        snapshot.update(failed_at=now, last_error=str(failure)[:500], claimed_until=now)
        return
    except Exception:
        log.exception("loader of %s raised an unexpected error", proxy_type)
        error = "The loader raised an unexpected error; see the log."
        snapshot.update(failed_at=now, last_error=error, claimed_until=now)
        return
    with transaction.atomic():
        if snapshot.exclude(counts=counts).exists():
            revisions.move(Revision.Subject.COUNTS)
        snapshot.update(counts=counts, loaded_at=now, failed_at=None, last_error="", claimed_until=now)


def _forget_unconfigured(known: set[str]) -> None:
    with transaction.atomic():
        deleted, _ = CountSnapshot.objects.exclude(proxy_type__in=known).delete()
        if deleted:
            revisions.move(Revision.Subject.COUNTS)
