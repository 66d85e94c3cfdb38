"""Loads the raw counts and keeps the last good ones, for all processes, in the relational store.

One process does it: whoever claims the snapshot. A claim ends by itself, so one that dies holds up nobody for long.
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
# Several processes that start together, or a start right after a refresh, load once.
RECENT: Final = timedelta(minutes=1)

log = logging.getLogger(__name__)


def refresh(now: datetime, *, even_recent: bool = False) -> None:
    """Brings every loader's counts up to date. Never raises for what a loader does: each fails for itself."""
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
        log.warning("counts of %s stay as they were: %s", proxy_type, failure)
        snapshot.update(failed_at=now, last_error=str(failure)[:500], claimed_until=now)
        return
    except Exception:
        log.exception("the loader of %s broke", proxy_type)
        snapshot.update(failed_at=now, last_error="The loader broke; the log says how.", claimed_until=now)
        return
    with transaction.atomic():
        if snapshot.exclude(counts=counts).exists():
            revisions.move(Revision.Kind.COUNTS)
        snapshot.update(counts=counts, loaded_at=now, failed_at=None, last_error="", claimed_until=now)


def _forget_unconfigured(known: set[str]) -> None:
    with transaction.atomic():
        deleted, _ = CountSnapshot.objects.exclude(proxy_type__in=known).delete()
        if deleted:
            revisions.move(Revision.Kind.COUNTS)
