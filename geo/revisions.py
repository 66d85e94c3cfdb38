"""Revision numbers that invalidate the caches of all processes."""

from __future__ import annotations

from django.db import connection
from django.db.models import F

from geo.models import Revision


def current(kind: Revision.Subject) -> int:
    """The latest committed number; 0 before the first change."""
    # Plain SQL, because every request runs it: building an ORM query would double its cost.
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM geo_revisions WHERE kind = %s", [kind.value])
        row = cursor.fetchone()
    return row[0] if row else 0


def move(kind: Revision.Subject) -> None:
    """Increments the number. Called in the transaction of the change, so that both become visible together."""
    if not Revision.objects.filter(kind=kind).update(number=F("number") + 1):
        # If two first changes run concurrently, the later one finds the row and increments it.
        _, is_new = Revision.objects.get_or_create(kind=kind, defaults={"number": 1})
        if not is_new:
            Revision.objects.filter(kind=kind).update(number=F("number") + 1)


def may_be_remembered() -> bool:
    """Whether data may be cached under the current number: not inside a transaction, which may be rolled back."""
    return not connection.in_atomic_block
