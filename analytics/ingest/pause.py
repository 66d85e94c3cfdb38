"""Pauses the forming of new insert blocks during a backup, in all processes.

Batches are still accepted and stay in the journal. The copy of the engine may therefore be later than the relational
one without containing rows unknown to it. A pause that is not renewed expires, so a killed backup blocks inserts for at
most a minute. It uses the clock of the relational store, because clocks of several hosts may differ.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from analytics.models import IngestPause, InsertBlock

LENGTH: Final = timedelta(seconds=60)
RENEW_SECONDS: Final = 10.0


class Paused(Exception):
    """A backup is running: no new block."""


class PauseLost(Exception):
    """Another backup holds the pause, or it expired during this one."""


def refuse_while_paused() -> None:
    """Raises Paused during a pause. Locks the row: no pause can begin before this transaction ends."""
    lasts = ExpressionWrapper(Q(until__gt=Now()), output_field=BooleanField())
    # Not a filter, because the row must be locked even if there is no pause.
    if any(IngestPause.objects.select_for_update().filter(pk=IngestPause.THE_ONE).values_list(lasts, flat=True)):
        raise Paused


def is_paused() -> bool:
    return _lasting().exists()


@contextmanager
def paused() -> Iterator[None]:
    """While this context lasts, no process forms an insert block; raises PauseLost if that was not ensured."""
    IngestPause.objects.get_or_create(pk=IngestPause.THE_ONE, defaults={"until": Now()})
    if not IngestPause.objects.filter(pk=IngestPause.THE_ONE, until__lte=Now()).update(until=Now() + LENGTH):
        raise PauseLost("Another backup is running, or was interrupted less than a minute ago.")
    stop = threading.Event()
    renewing = threading.Thread(target=_renew_until, args=(stop,), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        stop.set()
        renewing.join()
        was_held = _lasting().update(until=Now())
    if not was_held:
        raise PauseLost("The relational store was unavailable for too long: rows may have been inserted meanwhile.")


def _renew_until(stop: threading.Event) -> None:
    try:
        while not stop.wait(RENEW_SECONDS) and _renew():
            pass
    finally:
        connection.close()


def _renew() -> int:
    """Renews the pause; 0 if it has expired."""
    return _lasting().update(until=Now() + LENGTH)


def _lasting() -> QuerySet[IngestPause]:
    return IngestPause.objects.filter(pk=IngestPause.THE_ONE, until__gt=Now())


def unsettled_blocks() -> int:
    """The number of blocks that may be in the engine partially."""
    return InsertBlock.objects.filter(settled_at=None).count()


def release() -> None:
    """Ends the pause that a restored copy of the relational store contains."""
    IngestPause.objects.update(until=Now())
