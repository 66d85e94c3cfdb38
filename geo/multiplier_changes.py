"""Changes of multipliers, each recorded so that it can be undone.

A change is one transaction: the revision that invalidates caches, the multiplier, and the record of the previous
values. A process that dies leaves all of it or nothing. The revision comes first: its row stays locked until the end,
so the second of two concurrent changes sees the first, and conflicting multipliers are never both saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from geo import revisions
from geo.models import Multiplier, MultiplierChange, Revision


class MultiplierRefused(Exception):
    """The text is a message for the user."""


def conflict(multiplier: Multiplier) -> Multiplier | None:
    """Another multiplier for the same countries that conflicts with this one, if there is one."""
    others = Multiplier.objects.exclude(pk=multiplier.pk).filter(
        proxy_type=multiplier.proxy_type, pool=multiplier.pool, country=multiplier.country
    )
    return next((other for other in others if other.terms.excludes(multiplier.terms)), None)


def sentence(other: Multiplier) -> str:
    if other.terms.is_permanent:
        return f"{other} has no start or end either. Change that one, or give this one a start or an end."
    return f"The time overlaps that of {other}. One must end before the other starts."


def save(multiplier: Multiplier, author_id: int | None, now: datetime) -> MultiplierChange | None:
    """Adds or changes the multiplier; returns None if nothing changes. Raises MultiplierRefused."""
    with transaction.atomic():
        revisions.move(Revision.Subject.COUNTS)
        before = Multiplier.objects.filter(pk=multiplier.pk).first()
        if before is not None and as_json(before) == as_json(multiplier):
            return None
        _write(multiplier)
        return _record(before and as_json(before), as_json(multiplier), author_id, now)


def delete(multipliers: Iterable[Multiplier], author_id: int | None, now: datetime) -> None:
    with transaction.atomic():
        revisions.move(Revision.Subject.COUNTS)
        for multiplier in Multiplier.objects.filter(pk__in=[multiplier.pk for multiplier in multipliers]):
            _record(as_json(multiplier), None, author_id, now)
            multiplier.delete()


def undo(change: MultiplierChange, author_id: int | None, now: datetime) -> MultiplierChange:
    """Restores the multiplier to its state before the change. Raises MultiplierRefused if it was changed since."""
    with transaction.atomic():
        revisions.move(Revision.Subject.COUNTS)
        if MultiplierChange.objects.filter(undoes=change).exists():
            raise MultiplierRefused("This change has already been undone.")
        current = Multiplier.objects.filter(pk=_number(change)).first()
        if (current and as_json(current)) != change.after:
            raise MultiplierRefused(f"The multiplier has been changed since: it is now {current or 'deleted'}.")
        if change.before is None:
            assert current is not None
            current.delete()
        else:
            _write(from_json(change.before))
        return _record(change.after, change.before, author_id, now, undoes=change)


def _write(multiplier: Multiplier) -> None:
    if (other := conflict(multiplier)) is not None:
        raise MultiplierRefused(sentence(other))
    multiplier.save()


def _record(
    before: Any, after: Any, author_id: int | None, now: datetime, undoes: MultiplierChange | None = None
) -> MultiplierChange:
    return MultiplierChange.objects.create(at=now, author_id=author_id, before=before, after=after, undoes=undoes)


def _number(change: MultiplierChange) -> int:
    row: dict[str, Any] = change.before or change.after or {}
    return int(row["id"])


def as_json(multiplier: Multiplier) -> dict[str, Any]:
    return {
        "id": multiplier.pk,
        "proxy_type": multiplier.proxy_type,
        "pool": multiplier.pool,
        "country": multiplier.country,
        "factor": f"{multiplier.factor:.4f}",
        "starts_at": multiplier.starts_at and multiplier.starts_at.astimezone(UTC).isoformat(),
        "ends_at": multiplier.ends_at and multiplier.ends_at.astimezone(UTC).isoformat(),
    }


def from_json(row: dict[str, Any]) -> Multiplier:
    times = {name: row[name] and parse_datetime(row[name]) for name in ("starts_at", "ends_at")}
    return Multiplier(**{**row, "factor": Decimal(row["factor"]), **times})
