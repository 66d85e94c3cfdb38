"""Keeps new groups from being made for the length of a backup, in all processes.

Batches are taken in and answered as ever; they stay in the journal. So of the two stores' copies, the engine's can be
the later one without holding rows that the relational one knows nothing of. A hold that is not renewed ends by itself:
a backup that was killed stops nobody for longer than a minute. The clock is the relational store's: those of several
hosts need not agree.
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

from analytics.models import Group, Hold

LENGTH: Final = timedelta(seconds=60)
RENEW_SECONDS: Final = 10.0


class Held(Exception):
    """No group can be made now: a backup is being taken."""


class HoldLost(Exception):
    """The hold is somebody else's, or ran out before its end."""


def refuse_while_held() -> None:
    """Raises Held while there is a hold; within a transaction, which no hold can begin before the end of."""
    lasts = ExpressionWrapper(Q(until__gt=Now()), output_field=BooleanField())
    # Not a filter: the row is to be locked also when it holds nothing up.
    if any(Hold.objects.select_for_update().filter(pk=Hold.THE_ONE).values_list(lasts, flat=True)):
        raise Held


def is_held() -> bool:
    return _lasting().exists()


@contextmanager
def held() -> Iterator[None]:
    """No group is made in this block, by any process; raises HoldLost when that cannot be said at its end."""
    Hold.objects.get_or_create(pk=Hold.THE_ONE, defaults={"until": Now()})
    if not Hold.objects.filter(pk=Hold.THE_ONE, until__lte=Now()).update(until=Now() + LENGTH):
        raise HoldLost("Another backup is being taken, or was broken off less than a minute ago.")
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
        raise HoldLost("The relational store was away for too long: rows may have been sent meanwhile.")


def _renew_until(stop: threading.Event) -> None:
    try:
        while not stop.wait(RENEW_SECONDS) and _renew():
            pass
    finally:
        connection.close()


def _renew() -> int:
    """Whether the hold went on without a gap; one that has run out stays so."""
    return _lasting().update(until=Now() + LENGTH)


def _lasting() -> QuerySet[Hold]:
    return Hold.objects.filter(pk=Hold.THE_ONE, until__gt=Now())


def unsettled_groups() -> int:
    """How many groups may be in the engine in part."""
    return Group.objects.filter(settled_at=None).count()


def release() -> None:
    """Ends the hold that a copy of the relational store was made under."""
    Hold.objects.update(until=Now())
