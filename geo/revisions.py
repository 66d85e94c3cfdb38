"""Numbers that tell every process when what it remembers has become old."""

from __future__ import annotations

from django.db import connection
from django.db.models import F

from geo.models import Revision


def current(kind: Revision.Kind) -> int:
    """The latest committed number; 0 before the first change."""
    # By hand: asked with every request, it would cost as much to put together as everything else that is done.
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM geo_revisions WHERE kind = %s", [kind.value])
        row = cursor.fetchone()
    return row[0] if row else 0


def move(kind: Revision.Kind) -> None:
    """Moves the number on. Called inside the transaction of the change, so that both are seen at once or not at all."""
    if not Revision.objects.filter(kind=kind).update(number=F("number") + 1):
        # Two first changes at once: the later one finds the row and moves it.
        _, is_new = Revision.objects.get_or_create(kind=kind, defaults={"number": 1})
        if not is_new:
            Revision.objects.filter(kind=kind).update(number=F("number") + 1)


def may_be_remembered() -> bool:
    """Whether what goes with the current number is committed: in a transaction it may be ours, and be taken back."""
    return not connection.in_atomic_block
